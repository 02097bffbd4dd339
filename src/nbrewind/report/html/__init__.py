"""The report: one page in HTML that needs no network and runs nothing of a notebook's outputs."""
