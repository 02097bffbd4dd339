"""``nbrewind demo``: audit, repeat and an edit on an example, shown as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nbrewind.cli.common import DebugOption, JsonOption, verb

_EXAMPLE = """\b
Example:
  nbrewind demo --keep /tmp/rewind-demo
"""


def demo(
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep", metavar="FOLDER", help="Use this folder and keep it; default a temporary one."
        ),
    ] = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Audit an example on an embedded Dask cluster, repeat it, edit one constant, repeat.

    Needs the libraries of `pip install 'nbrewind[demo]'`.
    """
    from nbrewind.demo.run import run

    return run(keep, as_json=as_json)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("demo", epilog=_EXAMPLE)(verb(demo))
