"""TaskVine's names that we touch, without types."""

from __future__ import annotations

from typing import Any

from ndcctools.taskvine import cvine as _cvine
from ndcctools.taskvine import file as _file
from ndcctools.taskvine import manager as _manager
from ndcctools.taskvine import task as _task

cvine: Any = _cvine
File: Any = _file.File
FunctionCall: Any = _task.FunctionCall
LibraryTask: Any = _task.LibraryTask
Manager: Any = _manager.Manager
PythonTask: Any = _task.PythonTask
Task: Any = _task.Task
