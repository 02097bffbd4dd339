"""``nbrewind sign``: vouch for a package with an ssh key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nbrewind.cli.common import DebugOption, JsonOption, PackageArgument, print_json, verb
from nbrewind.errors import OK

_EXAMPLE = """\b
Example:
  nbrewind sign paper.zip --key ~/.ssh/id_ed25519
"""


def sign(
    package: PackageArgument,
    key: Annotated[
        Path,
        typer.Option("--key", metavar="FILE", help="A private ssh key, or a public one that an agent holds."),
    ],
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Sign PACKAGE. Whoever lists your public key as allowed can then repeat it without --trust."""
    from nbrewind.package import layout
    from nbrewind.package.signing import allowed_signers, public_key
    from nbrewind.package.signing import sign as write
    from nbrewind.report.jsonview import SCHEMA

    public = public_key(write(package, key.expanduser()))
    if as_json:
        print_json({"schema": SCHEMA, "package": str(package), "signature": layout.SIGNATURE, "key": public})
        return OK
    print(f"{package} is signed ({layout.SIGNATURE}). Readers need no --trust who have this line in")
    print(f"{allowed_signers()}, with your name or address in place of NAME:")
    print(f"NAME {public}")
    return OK


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("sign", epilog=_EXAMPLE)(verb(sign))
