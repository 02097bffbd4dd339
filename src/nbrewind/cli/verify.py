"""``nbrewind verify``: whether a package is what it says; nothing of it is executed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nbrewind.cli.common import (
    DebugOption,
    JsonOption,
    MaxSizeOption,
    PackageArgument,
    bytes_of,
    print_json,
    verb,
)
from nbrewind.errors import OK, STORE

_EXAMPLE = """\b
Example:
  nbrewind verify paper.zip
"""


def verify(
    package: PackageArgument,
    max_size: MaxSizeOption = None,
    signers: Annotated[
        Path | None,
        typer.Option(
            "--allowed-signers",
            metavar="FILE",
            help="Keys that count; else NBREWIND_ALLOWED_SIGNERS, ~/.config/nbrewind/allowed_signers.",
        ),
    ] = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Check every digest of PACKAGE, its rows, its notebook and its folders. Loads no value."""
    from nbrewind.package.layout import shown
    from nbrewind.package.verify import verify as look
    from nbrewind.report.jsonview import SCHEMA
    from nbrewind.report.progress import counting
    from nbrewind.report.words import size

    with counting("verifying") as tell:
        found = look(package, bytes_of(max_size, "--max-size"), tell, signers=signers)
    manifest = found.manifest
    if as_json:
        print_json(
            {
                "schema": SCHEMA,
                "package": str(package),
                "name": manifest.name,
                "sha256": found.sha256,
                "sound": not found.problems,
                "signer": found.signer,
                "problems": found.problems,
                "notes": found.notes,
                "rows": manifest.rows,
                "objects": manifest.objects,
                "object_bytes": manifest.object_bytes,
            }
        )
    else:
        for problem in found.problems:
            print(f"problem: {problem}")
        for note in found.notes:
            print(f"note: {note}")
        verdict = "is not sound" if found.problems else "is sound"
        if found.signer:
            print(f"signed by {shown(found.signer)}")
        print(
            f"{package} {verdict}: {len(manifest.files) + 1} files, {manifest.objects} objects "
            f"({size(manifest.object_bytes)}), {manifest.rows['record']} executions, "
            f"{found.tasks} tasks, sha256 {found.sha256[:16]}"
        )
    return STORE if found.problems else OK


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("verify", epilog=_EXAMPLE)(verb(verify))
