"""Packages: one folder or zip file with a notebook, its checkpoints and what they need (docs/packages.md)."""
