"""The command line in this process, and one audited notebook that all tests here pack."""

from __future__ import annotations

from cli.conftest import Command, folder, nbrewind

__all__ = ["Command", "folder", "nbrewind"]
