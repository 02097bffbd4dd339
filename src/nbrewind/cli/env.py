"""``nbrewind env``: the environment that a package was recorded in."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from nbrewind.cli.common import DebugOption, JsonOption, PackageArgument, TrustOption, print_json, verb
from nbrewind.errors import DIFFERENT, OK

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Compare the environment of a package with this one, or make it.",
    epilog="""\b
Example:
  nbrewind env compare paper.zip
""",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command(
    "compare",
    epilog="""\b
Example:
  nbrewind env compare paper.zip
""",
)
@verb
def compare(package: PackageArgument, as_json: JsonOption = False, debug: DebugOption = False) -> int:
    """List what differs here from what PACKAGE was recorded in, and the cells that have to run for that."""
    import msgspec

    from nbrewind.package import environment
    from nbrewind.package.layout import shown
    from nbrewind.package.source import reading
    from nbrewind.report.jsonview import SCHEMA

    with reading(package) as source:
        manifest, _ = source.manifest()
        found = environment.compare(environment.of_package(source, manifest), environment.here())
        cells = environment.cells_touched(source, manifest)
    verdicts = {one.verdict for one in found}
    verdict = "different" if "different" in verdicts else "compatible" if verdicts else "same"
    if as_json:
        differences = [msgspec.to_builtins(one) for one in found]
        print_json({"schema": SCHEMA, "verdict": verdict, "differences": differences, "cells": cells})
    else:
        for one in found:
            then, now = shown(one.recorded), one.present or "missing"
            print(f"{one.verdict:10}  {shown(one.what)}: recorded {then}, here {now}")
        for name, indices in cells.items():
            print(f"cells {', '.join(map(str, indices))} have to run: {shown(name)}")
        print(verdict)
    return DIFFERENT if verdict == "different" else OK


@app.command(
    "create",
    epilog="""\b
Example:
  nbrewind env create paper.zip --trust -o paper-env --python python3.12
""",
)
@verb
def create(
    package: PackageArgument,
    out: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The new environment's folder.")],
    python: Annotated[
        str, typer.Option("--python", metavar="PYTHON", help="The interpreter; default: this one.")
    ] = sys.executable,
    trust: TrustOption = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Make a virtual environment with the versions of PACKAGE. Installing runs code: it needs trust."""
    from nbrewind.cli.packages import vouched
    from nbrewind.package import environment
    from nbrewind.package.source import reading
    from nbrewind.report.jsonview import SCHEMA

    with reading(package) as source, tempfile.TemporaryDirectory(prefix="nbrewind-") as folder:
        manifest, data = source.manifest()
        vouched(source, data, package, trust=trust, required=True)
        lock = Path(folder) / "requirements.lock"
        lock.write_bytes(environment.lock(environment.of_package(source, manifest)))
        environment.create(lock, out, python)
    if as_json:
        print_json({"schema": SCHEMA, "environment": str(out)})
    else:
        print(f"{out}")
    return OK
