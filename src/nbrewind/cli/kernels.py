"""``nbrewind kernels``: show the kernels to a Jupyter server, or hide them from it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from nbrewind.cli.common import DebugOption, JsonOption, print_json, verb
from nbrewind.errors import OK, UsageError

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Install, list and remove the two kernels.",
    epilog="""\b
Example:
  nbrewind kernels install --user
""",
    context_settings={"help_option_names": ["-h", "--help"]},
)

_SUFFIX_HELP = "Append -TEXT to the kernels' names, to tell environments apart."

UserOption = Annotated[bool, typer.Option("--user", help="For this user, whatever the server's environment.")]
SysPrefixOption = Annotated[bool, typer.Option("--sys-prefix", help="In this Python environment.")]
PrefixOption = Annotated[
    Path | None, typer.Option("--prefix", metavar="PATH", help="Below PATH/share/jupyter/kernels.")
]
SuffixOption = Annotated[str, typer.Option("--suffix", metavar="TEXT", help=_SUFFIX_HELP)]


@app.command(
    "install",
    epilog="""\b
Examples:
  nbrewind kernels install --user
  nbrewind kernels install --prefix /srv/jupyter --suffix py312
""",
)
@verb
def install(
    user: UserOption = False,
    sys_prefix: SysPrefixOption = False,
    prefix: PrefixOption = None,
    suffix: SuffixOption = "",
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Make this environment's kernels visible to a Jupyter server in another one."""
    from nbrewind.kernel import specs

    _check_suffix(suffix)
    folder = specs.kernels_folder(user=user, sys_prefix=sys_prefix, prefix=str(prefix or ""))
    written = [str(path) for path in specs.install(folder, suffix=suffix)]
    if as_json:
        print_json({"schema": 1, "installed": written})
    else:
        for path in written:
            print(f"installed {path}")
    return OK


@app.command(
    "list",
    epilog="""\b
Example:
  nbrewind kernels list --json
""",
)
@verb
def list_kernels(as_json: JsonOption = False, debug: DebugOption = False) -> int:
    """List the kernels of nbrewind that Jupyter sees from here."""
    from nbrewind.kernel import specs

    found = specs.installed()
    if as_json:
        print_json({"schema": 1, "kernels": [asdict(spec) for spec in found]})
        return OK
    for spec in found:
        missing = "" if spec.usable else "  (this interpreter does not exist any more)"
        print(f"{spec.name}  {spec.display_name}  {spec.interpreter}  {spec.folder}{missing}")
    if not found:
        print("Jupyter sees none from here. `nbrewind kernels install --sys-prefix` installs them.")
    return OK


@app.command(
    "remove",
    epilog="""\b
Example:
  nbrewind kernels remove --user
""",
)
@verb
def remove(
    user: UserOption = False,
    sys_prefix: SysPrefixOption = False,
    prefix: PrefixOption = None,
    suffix: SuffixOption = "",
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Remove the kernels from one place."""
    from nbrewind.kernel import specs

    _check_suffix(suffix)
    folder = specs.kernels_folder(user=user, sys_prefix=sys_prefix, prefix=str(prefix or ""))
    gone = [str(path) for path in specs.remove(folder, suffix=suffix)]
    if as_json:
        print_json({"schema": 1, "removed": gone})
    else:
        for path in gone:
            print(f"removed {path}")
        if not gone:
            print(f"no kernel of nbrewind in {folder}")
    return OK


def _check_suffix(suffix: str) -> None:
    if suffix and not all(char.isascii() and (char.isalnum() or char in "._-") for char in suffix):
        raise UsageError(f"--suffix may hold letters, digits, '.', '_' and '-' only, not {suffix!r}.")
