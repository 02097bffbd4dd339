"""Opening packages, as ``unpack`` and ``repeat`` do it: verified, and not without trust."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nbrewind.cli.common import bytes_of, complain, full_path
from nbrewind.errors import RefusedError

if TYPE_CHECKING:
    from nbrewind.package.unpack import Unpacked


def open_package(
    package: Path, target: Path | None, *, trust: bool, required: bool, max_size: str | None = None
) -> Unpacked:
    """Unpack a package into a new folder; ``required`` refuses where nothing vouches for it.

    Raises:
        RefusedError: it would have to be trusted and is not.
        PackageError: it is damaged, or the folder cannot be made.
    """
    from nbrewind.package.layout import shown
    from nbrewind.package.signing import allowed_signers, signer, torn
    from nbrewind.package.source import reading
    from nbrewind.package.unpack import unpack
    from nbrewind.report.progress import counting

    with reading(package, bytes_of(max_size, "--max-size")) as source:
        manifest, data = source.manifest()
        if trust and torn(source, data):
            raise RefusedError(f"{package} was changed since it was signed: its signature is not of it.")
        if not trust:
            name = signer(source, data, allowed_signers())
            if name:
                complain(f"signed by {shown(name)}, whom {allowed_signers()} allows")
            trust = bool(name)
        if required and not trust:
            raise RefusedError(
                f"{package} comes from elsewhere, and repeating it runs its code and loads its values. "
                "Look at it with `nbrewind verify`; if you trust whoever made it, add --trust."
            )
        folder = full_path(target if target is not None else Path(f"{manifest.name}-repeat"))
        with counting("unpacking objects") as tell:
            return unpack(source, manifest, folder, trusted=trust, tell=tell)
