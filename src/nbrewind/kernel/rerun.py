"""Cells that run again for their values (R5): nothing is shown, no history grows, results are bound."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nbrewind.kernel.outputs import OutputTap
from nbrewind.kernel.results import bind_result

if TYPE_CHECKING:
    from nbrewind.session import Session


async def run_again(
    session: Session, shell: Any, source: str, count: int, tap: OutputTap
) -> BaseException | None:
    """Run a cell as when its execution count was ``count``; the error with which it ended.

    A displayed result is formatted, since that runs code of the value's class, and bound to ``_N``.  Streams
    stay in their places and only their messages are dropped: a log handler that the cell makes keeps them.
    """
    transformed = session.transform(source)
    with tap.muted(), _no_tracebacks(shell), _results_bound(shell, transformed, count):
        if shell.should_run_async(source, transformed_cell=transformed):
            result = await shell.run_cell_async(
                source, store_history=False, silent=True, transformed_cell=transformed
            )
        else:
            result = shell.run_cell(source, store_history=False, silent=True)
    found: BaseException | None = result.error_before_exec or result.error_in_exec
    return found


@contextlib.contextmanager
def _no_tracebacks(shell: Any) -> Iterator[None]:
    """A cell that raised raises again, and front ends are told past the captured streams."""
    shown, shell._showtraceback = shell._showtraceback, lambda *args: None
    try:
        yield
    finally:
        shell._showtraceback = shown


@contextlib.contextmanager
def _results_bound(shell: Any, transformed: str, count: int) -> Iterator[None]:
    """IPython shows no results of a silent request, and so binds none."""
    run_nodes, hook = shell.run_ast_nodes, shell.displayhook
    hidden = hook.semicolon_at_end_of_expression(transformed)

    def display(result: Any) -> None:
        if result is not None and not hidden:
            hook.compute_format_data(result)
            bind_result(shell, result, count)

    async def run_ast_nodes(*args: Any, interactivity: str = "", **more: Any) -> Any:
        before, sys.displayhook = sys.displayhook, display
        try:
            return await run_nodes(*args, interactivity=shell.ast_node_interactivity, **more)
        finally:
            sys.displayhook = before

    outer = vars(shell).get("run_ast_nodes")  # a cell that runs again may need another one first
    shell.run_ast_nodes = run_ast_nodes
    try:
        yield
    finally:
        if outer is None:
            del shell.run_ast_nodes
        else:
            shell.run_ast_nodes = outer
