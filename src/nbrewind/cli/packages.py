"""Opening packages, as ``unpack`` and ``repeat`` do it: verified, and not without trust."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nbrewind.cli.common import bytes_of, complain, full_path
from nbrewind.errors import RefusedError
from nbrewind.package.layout import Manifest, shown

if TYPE_CHECKING:
    from nbrewind.package.source import Source
    from nbrewind.package.unpack import Unpacked


def open_package(
    package: Path, target: Path | None, *, trust: bool, required: bool, max_size: str | None = None
) -> Unpacked:
    """Unpack a package into a new folder; ``required`` refuses where nothing vouches for it.

    Raises:
        RefusedError: it would have to be trusted and is not.
        PackageError: it is damaged, or the folder cannot be made.
    """
    from nbrewind.package.source import reading
    from nbrewind.package.unpack import unpack
    from nbrewind.report.progress import counting

    with reading(package, bytes_of(max_size, "--max-size")) as source:
        manifest, data = source.manifest()
        trust = vouched(source, data, package, trust=trust, required=required)
        if trust:
            _compare(source, manifest)
        folder = full_path(target if target is not None else Path(f"{manifest.name}-repeat"))
        with counting("unpacking objects") as tell:
            return unpack(source, manifest, folder, trusted=trust, tell=tell)


def vouched(source: Source, manifest: bytes, package: Path, *, trust: bool, required: bool) -> bool:
    """Whether somebody vouches for a package: whoever gave ``trust``, or a known signature.

    Raises:
        RefusedError: it was changed after it was signed, or has to be trusted and is not.
    """
    from nbrewind.package.layout import SIGNATURE
    from nbrewind.package.signing import allowed_signers, can_check, signer, torn

    why, name = "", ""
    if SIGNATURE in source.sizes and not can_check():
        # No worse than a package without a signature, which whoever changed this one could have made of it.
        why = "Its signature cannot be checked: there is no ssh-keygen here (Debian: openssh-client). "
    elif torn(source, manifest):
        raise RefusedError(f"{package} was changed since it was signed: its signature is not of it.")
    elif not trust:
        try:
            name = signer(source, manifest, allowed_signers())
        except RefusedError as error:
            why = f"{error} "
    if name:
        complain(f"signed by {shown(name)}, whom {allowed_signers()} allows")
    elif required and not trust:
        raise RefusedError(
            f"{package} comes from elsewhere, and repeating it runs its code and loads its values. {why}"
            "Look at it with `nbrewind verify`; if you trust whoever made it, add --trust."
        )
    elif why:
        complain(why.strip())
    return trust or bool(name)


def _compare(source: Source, manifest: Manifest) -> None:
    """Say what is different here, and which cells run for that."""
    from nbrewind.package.environment import cells_touched, compare, here, of_package

    now, then = here(), of_package(source, manifest)
    different = [one for one in compare(then, now) if one.verdict == "different"]
    if then.python != now.python:
        complain(f"recorded with Python {shown(then.python)}, here is {now.python}")
    for package, cells in cells_touched(source, manifest).items():
        listed = ", ".join(str(cell) for cell in cells[:8]) + ("..." if len(cells) > 8 else "")
        complain(f"{shown(package)} has another version here, or is missing: cells {listed} have to run")
    if different:
        complain(
            f"{len(different)} of {len(then.distributions)} packages or properties differ; "
            "`nbrewind env compare` lists them, `nbrewind env create` makes the recorded environment"
        )
