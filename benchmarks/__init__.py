"""Benchmarks: ratios between two kernels measured in one run, never timed tests."""
