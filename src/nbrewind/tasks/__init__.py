"""Distributed tasks: what makes two of them the same, the log of their results, the adapter contract."""

from nbrewind.tasks.adapter import EngineAdapter, load_adapters
from nbrewind.tasks.context import TaskContext, TaskStore, Ticket

__all__ = ["EngineAdapter", "TaskContext", "TaskStore", "Ticket", "load_adapters"]
