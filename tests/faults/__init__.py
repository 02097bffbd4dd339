"""Faults: kills at every step, changed bytes, full and failing disks, company; what must be true afterwards."""
