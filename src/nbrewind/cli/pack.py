"""``nbrewind pack``: one folder or file with a notebook, its checkpoints and what they need."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nbrewind.cli.common import (
    DebugOption,
    JsonOption,
    NotebookArgument,
    StoreOption,
    bytes_of,
    complain,
    full_path,
    open_existing,
    print_json,
    store_path,
    verb,
)
from nbrewind.errors import OK, UsageError

_EXAMPLE = """\b
Examples:
  nbrewind pack analysis.ipynb -o paper.zip
  nbrewind pack analysis.ipynb -o paper --with-data all
  nbrewind pack analysis.ipynb -o paper.zip --source data/big.h5=https://example.org/big.h5
"""


def pack(
    notebook: NotebookArgument,
    out: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="DIR|FILE.zip", help="The package: a new folder or zip file."),
    ],
    history: Annotated[
        str, typer.Option("--history", metavar="last|all", help="The newest run, or all of this notebook.")
    ] = "last",
    with_data: Annotated[
        str,
        typer.Option(
            "--with-data", metavar="auto|all|none", help="Which inputs go in; auto: the small ones."
        ),
    ] = "auto",
    data_limit: Annotated[
        str, typer.Option("--data-limit", metavar="SIZE", help="How large an input may be for auto.")
    ] = "100M",
    source: Annotated[
        list[str] | None,
        typer.Option("--source", metavar="INPUT=URL", help="Where others get an input that stays out."),
    ] = None,
    strip: Annotated[
        list[str] | None,
        typer.Option(
            "--strip", metavar="outputs|results", help="Leave these out: cells run again elsewhere."
        ),
    ] = None,
    allow_secrets: Annotated[
        bool, typer.Option("--allow-secrets", help="Pack although something looks like a secret.")
    ] = False,
    license: Annotated[
        str, typer.Option("--license", metavar="URL", help="Under what terms others may use it.")
    ] = "No license is stated",
    author: Annotated[str, typer.Option("--author", metavar="NAME", help="Who made it.")] = "",
    store: StoreOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Pack NOTEBOOK with its checkpoints, logs, environment and inputs for other people and places."""
    from nbrewind.package.layout import name_for
    from nbrewind.package.pack import Request
    from nbrewind.package.pack import pack as write
    from nbrewind.report.jsonview import SCHEMA
    from nbrewind.report.progress import counting
    from nbrewind.report.words import size
    from nbrewind.values.images import MAGIC

    _check("--history", [history], {"last", "all"})
    _check("--with-data", [with_data], {"auto", "all", "none"})
    _check("--strip", strip or [], {"outputs", "results"})
    request = Request(
        full_path(notebook),
        out,
        name=name_for(full_path(out)),
        history=history == "all",
        data=with_data,
        data_limit=bytes_of(data_limit, "--data-limit") or 0,
        strip=frozenset(strip or ()),
        allow_secrets=allow_secrets,
        license=license,
        author=author,
        sources=tuple(_source(one) for one in source or ()),
    )
    opened = open_existing(store_path(notebook, store))
    try:
        with counting("packing objects") as tell:
            packed = write(opened, request, MAGIC, tell)
    finally:
        opened.close()
    for note in packed.notes:
        complain(note)
    manifest = packed.manifest
    content = {
        "schema": SCHEMA,
        "package": str(out),
        "name": manifest.name,
        "rows": manifest.rows,
        "objects": manifest.objects,
        "object_bytes": manifest.object_bytes,
        "bytes": sum(file.size for file in manifest.files.values()),
        "inputs": {name: bool(one.file) for name, one in manifest.inputs.items() if one.kind == "file"},
        "notes": packed.notes,
    }
    if as_json:
        print_json(content)
        return OK
    rows = manifest.rows
    print(
        f"{out}: {rows['record']} executions of cells, {packed.tasks} tasks, {manifest.objects} objects "
        f"({size(manifest.object_bytes)})"
    )
    for name, one in manifest.inputs.items():
        if one.kind == "file" and one.digest and not one.file:
            print(f"  not in it: {name} ({size(one.size)})")
    return OK


def _check(option: str, values: list[str], known: set[str]) -> None:
    for value in values:
        if value not in known:
            raise UsageError(f"{option} is {' or '.join(sorted(known))}, not {value!r}.")


def _source(text: str) -> tuple[str, str]:
    name, equals, url = text.partition("=")
    if not equals or "://" not in url:
        raise UsageError(f"--source is INPUT=URL, not {text!r}.")
    return name, url


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("pack", epilog=_EXAMPLE)(verb(pack))
