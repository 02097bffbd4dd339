"""Local helper modules as content, for tasks that import or name them.

A worker imports the file as it is then, so what counts is the text of the file and of
every local module that it imports in turn.
"""

from __future__ import annotations

import ast
import dis
import importlib.util
import sys
from functools import lru_cache
from pathlib import Path
from types import CodeType

from nbrewind.flow.code import codes_of, hash_parts
from nbrewind.flow.names import is_library_path


def imported_names(code: CodeType) -> frozenset[str]:
    """Modules that the code imports when it runs, absolute imports only."""
    return _imported(code)


@lru_cache(maxsize=8192)
def _imported(code: CodeType) -> frozenset[str]:
    return frozenset(
        op.argval
        for inner in codes_of(code)
        for op in dis.get_instructions(inner)
        if op.opname == "IMPORT_NAME" and op.argval
    )


def local_file(name: str) -> Path | None:
    """The source file of a module that is the user's own, None for all others."""
    module = sys.modules.get(name)
    path = getattr(module, "__file__", None)
    if module is None:
        if name.partition(".")[0] in sys.stdlib_module_names:
            return None
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError, AttributeError):
            return None
        path = spec.origin if spec is not None and spec.has_location else None
    if not isinstance(path, str) or not path.endswith(".py"):
        return None
    absolute = Path(path).absolute()
    return None if is_library_path(str(absolute)) else absolute


def module_digest(name: str) -> str | None:
    """Digest of a local module and of all local modules it imports; None if it is not local."""
    files: dict[str, bytes] = {}
    _collect(name, files)
    if not files:
        return None
    parts: list[str | bytes] = []
    for module in sorted(files):
        parts += [module, files[module]]
    return hash_parts("modules", *parts)


def _collect(name: str, files: dict[str, bytes]) -> None:
    if name in files:
        return
    path = local_file(name)
    if path is None:
        return
    try:
        data = path.read_bytes()
    except OSError:
        files[name] = b"unreadable"
        return
    files[name] = data
    parent = name.rpartition(".")[0]
    if parent:
        _collect(parent, files)
    for wanted in _imports(data, name, path.name == "__init__.py"):
        _collect(wanted, files)


@lru_cache(maxsize=512)
def _imports(data: bytes, name: str, is_package: bool) -> tuple[str, ...]:
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError):
        return ()
    found: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.setdefault(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = name if is_package else name.rpartition(".")[0]
                for _ in range(node.level - 1):
                    package = package.rpartition(".")[0]
                base = f"{package}.{base}".strip(".")
            found.setdefault(base)
            for alias in node.names:
                found.setdefault(f"{base}.{alias.name}")
    return tuple(item for item in found if item)
