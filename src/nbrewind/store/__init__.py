"""Content-addressed objects and the catalog of records, history and tasks."""

from nbrewind.store.store import Store

__all__ = ["Store"]
