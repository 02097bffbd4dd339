"""What the verbs share: options, errors with exit codes, finding the store, writing JSON."""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import typer

from nbrewind.errors import INTERRUPTED, NBRewindError, UsageError

INTERNAL_ERROR = 70
"""Exit code of a defect of nbrewind itself (EX_SOFTWARE of sysexits.h)."""

ENV_RULES = ("exact", "compatible", "any")

NotebookArgument = Annotated[Path, typer.Argument(metavar="NOTEBOOK", help="The notebook (.ipynb).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")]
StoreOption = Annotated[
    Path | None,
    typer.Option(
        "--store", metavar="FOLDER", help="The store, or a package; default: NBREWIND_STORE, else here."
    ),
]
PlaceArgument = Annotated[
    Path | None,
    typer.Argument(metavar="[STORE|NOTEBOOK]", help="A store's folder, or a notebook whose store is meant."),
]
PackageArgument = Annotated[
    Path, typer.Argument(metavar="PACKAGE", help="A package: a folder or a zip file.")
]
TrustOption = Annotated[
    bool, typer.Option("--trust", help="Load values of a package from elsewhere without a signature.")
]
MaxSizeOption = Annotated[
    str | None,
    typer.Option("--max-size", metavar="SIZE", help="How much a package may unpack to: 500M, 80G."),
]
OutOption = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="OUT", help="Write the executed notebook here, not in place."),
]
KernelOption = Annotated[
    str | None,
    typer.Option("--kernel", metavar="NAME", help="Kernel of nbrewind to use; see `nbrewind kernels list`."),
]
UntilOption = Annotated[
    str | None,
    typer.Option("--until", metavar="CELL", help="Stop after this cell: N (from 0), id:ID or tag:T."),
]

KeepOption = Annotated[
    str,
    typer.Option(
        "--keep",
        metavar="RULE",
        help="Which values to store: all, auto (not those that run again sooner than they load), outputs.",
    ),
]
KeepBytesOption = Annotated[
    str | None,
    typer.Option(
        "--keep-bytes",
        metavar="SIZE",
        help="From this size on store only values that running cells again cannot give: 500M, 20G.",
    ),
]

if TYPE_CHECKING:
    from nbrewind.store import Store

P = ParamSpec("P")
R = TypeVar("R")


def verb(function: Callable[P, int]) -> Callable[P, None]:
    """Turn a function that returns an exit code into a command with clean errors."""

    @functools.wraps(function)
    def command(*args: P.args, **kwargs: P.kwargs) -> None:
        debug = bool(kwargs.get("debug")) or os.environ.get("NBREWIND_DEBUG", "") not in {"", "0"}
        try:
            code = function(*args, **kwargs)
        except NBRewindError as error:
            code = error.exit_code
            complain(str(error), debug=debug)
        except KeyboardInterrupt:
            code = INTERRUPTED
            complain("Interrupted.", debug=debug)
        except BrokenPipeError:
            # The reader of our output is gone (`nbrewind log | head`): not an error of ours.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 128 + signal.SIGPIPE
        except Exception as error:  # noqa: BLE001 - the last resort of a program
            code = INTERNAL_ERROR
            complain(
                f"Unexpected error in nbrewind itself ({type(error).__name__}: {error}). "
                "Run again with --debug for the traceback, and please report it.",
                debug=debug,
            )
        raise typer.Exit(code)

    # typer reads the signature of the wrapped function, but the result is nobody's concern.
    return command


def complain(message: str, *, debug: bool = False) -> None:
    """One paragraph on standard error, after the traceback when one is wanted."""
    if debug and sys.exc_info()[0] is not None:
        traceback.print_exc()
    print(f"nbrewind: {message}", file=sys.stderr)


def print_json(content: dict[str, Any]) -> None:
    """The one object that a ``--json`` run prints."""
    print(json.dumps(content, ensure_ascii=False, allow_nan=False))


def full_path(path: Path) -> Path:
    """``path`` from the root, ``..`` resolved but links kept: how runs are labelled."""
    return Path(os.path.abspath(path))


def is_package(path: Path) -> bool:
    """Whether a path that a person names means a package."""
    from nbrewind.package.layout import is_package

    return is_package(path)


def store_path(notebook: Path | None, option: Path | None = None) -> Path:
    """Where the store of ``notebook`` (or of this folder) is: option, environment, beside it.

    Of a package it is the package.
    """
    if option is not None:
        return full_path(option)
    if notebook is not None and is_package(notebook):
        return full_path(notebook)
    named = os.environ.get("NBREWIND_STORE", "")
    if named:
        return full_path(Path(named))
    folder = full_path(notebook).parent if notebook is not None else Path.cwd()
    return folder / ".nbrewind"


def place_of_store(place: Path | None, option: Path | None) -> Path:
    """The store that a person names by its folder, by a notebook, or not at all."""
    if place is None or place.suffix == ".ipynb":
        return store_path(place, option)
    if option is not None:
        raise UsageError(f"Name one store: {place} or --store {option}.")
    return full_path(place)


def open_existing(path: Path) -> Store:
    """A store to look at, or the history of a package; nothing is written, no value is loaded.

    Raises:
        StoreError: there is none, or it cannot be read.
    """
    from nbrewind.store import Store

    if is_package(path):
        from nbrewind.package.view import view

        return view(path)
    return Store.open(path, create=False, readonly=True)


_BYTES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def bytes_of(text: str | None, option: str) -> int | None:
    """An amount of bytes with a unit, None where none was given.

    Raises:
        UsageError: it is none.
    """
    return None if text is None else amount(text, _BYTES, option)


def amount(text: str, units: dict[str, int], option: str) -> int:
    """A number with a unit.

    Raises:
        UsageError: it is none.
    """
    match = re.fullmatch(r"(\d+)([a-zA-Z]?)", text)
    if match is None or match[2] not in units:
        known = ", ".join(unit for unit in units if unit)
        raise UsageError(f"{option} is a number with a unit ({known}), not {text!r}.")
    return int(match[1]) * units[match[2]]


def check_keep_rule(rule: str) -> str:
    """``rule`` if it is one of all, auto and outputs; raises UsageError."""
    from nbrewind.session.keep import check_rule

    return check_rule(rule)


def check_env_rule(rule: str) -> str:
    """``rule`` if it is one of exact, compatible and any (R13); raises UsageError."""
    if rule not in ENV_RULES:
        raise UsageError(f"--env is {' or '.join(ENV_RULES)}, not {rule!r}.")
    return rule
