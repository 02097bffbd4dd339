"""Notebooks that nobody here wrote: taken from source distributions, repeated, compared with plain runs."""
