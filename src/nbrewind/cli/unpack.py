"""``nbrewind unpack``: a package's notebook, inputs and, where they are trusted, checkpoints in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nbrewind.cli.common import (
    DebugOption,
    JsonOption,
    MaxSizeOption,
    PackageArgument,
    TrustOption,
    complain,
    print_json,
    verb,
)
from nbrewind.errors import OK

_EXAMPLE = """\b
Examples:
  nbrewind unpack paper.zip                     the notebook and its inputs
  nbrewind unpack paper.zip --trust -o work     with checkpoints, ready to repeat
"""


def unpack(
    package: PackageArgument,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="A new folder; default NAME-repeat here."),
    ] = None,
    trust: TrustOption = False,
    max_size: MaxSizeOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Lay PACKAGE out as a folder to work in. Its checkpoints are opened only with --trust or a signature."""
    from nbrewind.cli.packages import open_package
    from nbrewind.report.jsonview import SCHEMA

    opened = open_package(package, out, trust=trust, required=False, max_size=max_size)
    if as_json:
        print_json(
            {
                "schema": SCHEMA,
                "package": str(package),
                "notebook": str(opened.notebook),
                "store": None if opened.store is None else str(opened.store),
                "missing": opened.missing,
            }
        )
        return OK
    print(f"{opened.notebook}")
    if opened.store is None:
        complain(
            "The checkpoints stay closed: loading values runs code of whoever made them. If you trust the "
            "author, unpack with --trust."
        )
    else:
        print(f"Go on with: nbrewind repeat {opened.notebook}")
    return OK


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("unpack", epilog=_EXAMPLE)(verb(unpack))
