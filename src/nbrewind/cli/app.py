"""Puts the verbs together."""

from __future__ import annotations

from typing import Annotated

import typer

import nbrewind
from nbrewind.cli import (
    audit,
    check,
    clear,
    compare,
    demo,
    diff,
    env,
    gc,
    graph,
    kernels,
    log,
    pack,
    pin,
    plan,
    repeat,
    report,
    show,
    sign,
    stats,
    tasks,
    unpack,
    verify,
)

_EXIT_CODES = """\b
Exit codes:
  0    ok
  1    a cell raised
  2    the command was not understood
  3    the notebook or its kernel cannot be used
  4    the store cannot be used
  5    refused for safety
  6    compared outputs are different
  130  interrupted
"""

app = typer.Typer(
    name="nbrewind",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EXIT_CODES,
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"nbrewind {nbrewind.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Audit a notebook once, repeat it in milliseconds."""


_VERBS = (
    *(audit, repeat, plan, log, show, diff, compare, graph, report, stats, tasks),
    *(pack, unpack, verify, sign),
    *(check, gc, pin, clear, demo),
)

for _module in _VERBS:
    _module.register(app)
app.add_typer(kernels.app, name="kernels")
app.add_typer(env.app, name="env")
