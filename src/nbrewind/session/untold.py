"""What a cell did that no record can give again: such a cell runs at every repeat (R7).

Besides the hidden state that is compared before and after each cell (``flow.hidden``) that is what nobody
can compare: settings that packages keep to themselves, what is under way in connections and between
threads, what log handlers hold, and modules that IPython loads again by itself.
"""

from __future__ import annotations

import ast
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nbrewind.flow import code as codes
from nbrewind.flow import logs, setters
from nbrewind.flow.files import CellFiles
from nbrewind.flow.hidden import threads_of_the_notebook
from nbrewind.model import State
from nbrewind.session import modules
from nbrewind.session.behind import Behind
from nbrewind.session.process import Process

_CONNECTIONS = frozenset(
    {"socket", "multiprocessing.connection", "multiprocessing.queues", "ssl"}
    | {f"distributed.{name}" for name in ("variable", "queues", "lock", "event", "semaphore", "pubsub")}
)
"""Modules whose objects lead out of the process; what a cluster's hold is gone with the cluster."""

_BETWEEN_THREADS = frozenset({"queue", "_queue", "threading", "_thread"})
"""Modules whose objects lead to a thread that waits for them."""


def labels(
    process: Process,
    *,
    transformed: str,
    behind: Behind,
    values: Mapping[str, Any],
    loaded: Iterable[str],
    files: CellFiles,
    before: State,
) -> list[str]:
    """Names for people of what a cell did so; ``values`` it touched, modules ``loaded`` it imported anew."""
    return [
        *_settings(process, transformed, behind),
        *_beyond_content(process, list(values.values())),
        *_reloaded_by_itself(process, loaded, files, before),
    ]


def _settings(process: Process, transformed: str, behind: Behind) -> list[str]:
    """Settings of packages that the cell, or a function that it read, changes past their modules."""
    if not setters.suspicious(behind.names(), transformed):
        return []
    live = process.memory.live
    trees: list[ast.AST | None] = [codes.parsed(transformed)]
    for node in map(codes.function_node, behind.functions):
        if node is not None:
            trees += node.body if isinstance(node.body, list) else [node.body]
    found: dict[str, None] = {}
    for tree in trees:
        if tree is not None:
            found.update(
                dict.fromkeys(setters.changed(tree, lambda name: live.get(name, sys.modules.get(name))))
            )
    return list(found)


def _beyond_content(process: Process, touched: list[Any]) -> Iterator[str]:
    """Objects that are more than their content.

    Nobody can look at what is under way in a connection, nor put back what a handler has got.
    """
    kinds = {type(value).__module__ for value in touched}
    if kinds & _CONNECTIONS:
        yield "data in connections"
    if process.logs.logged or any(
        issubclass(type(value), logging.Handler) and value in logs.in_use() for value in touched
    ):
        yield logs.LOGGED
    if kinds & _BETWEEN_THREADS and threads_of_the_notebook():
        yield "what a thread that runs is given"


def _reloaded_by_itself(
    process: Process, loaded: Iterable[str], files: CellFiles, before: State
) -> Iterator[str]:
    """Modules whose files cells write: autoreload must have seen them imported, to load them again."""
    if "IPython.extensions.autoreload" not in sys.modules:
        return
    written = before.files.keys() | files.found.keys()
    if any(process.files.key(path) in written for name in loaded for path in modules.module_files(name)):
        yield "modules that autoreload watches"
