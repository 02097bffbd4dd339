"""Signatures: who vouches for a package, by the ssh keys that researchers have anyway.

The manifest is signed; it has the digests of everything else.  ``ssh-keygen -Y`` signs and checks
(OpenSSH 8.1 or later), with an allowed-signers file as git uses it (``man ssh-keygen``).
"""

from __future__ import annotations

import base64
import os
import shutil
import stat
import struct
import subprocess
import tempfile
import zipfile
from pathlib import Path

from nbrewind.errors import PackageError, RefusedError
from nbrewind.package import layout
from nbrewind.package.source import Source, reading

NAMESPACE = "nbrewind-package"
VARIABLE = "NBREWIND_ALLOWED_SIGNERS"
_MOST = 64 << 10


def allowed_signers() -> Path:
    """The keys that this user trusts: a file named by ``NBREWIND_ALLOWED_SIGNERS``, else in the settings."""
    named = os.environ.get(VARIABLE, "")
    if named:
        return Path(named)
    settings = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Path(settings) / "nbrewind" / "allowed_signers"


def sign(path: Path, key: Path) -> str:
    """Sign a package with a private key; an older signature is replaced.  Returns what was signed.

    Raises:
        PackageError: the package is not sound as far as its manifest goes, or cannot be written.
        RefusedError: ssh-keygen did not sign.
    """
    with reading(path) as source:
        _, manifest = source.manifest()
        signed = layout.SIGNATURE in source.sizes
        top = "" if path.is_dir() else _top(path)
    if signed and path.is_file():
        raise PackageError(f"{path} is signed already. Pack it again, or sign the folder before you zip it.")
    with tempfile.TemporaryDirectory(prefix="nbrewind-") as folder:
        place = Path(folder) / "manifest.json"
        place.write_bytes(manifest)
        # Not captured: it may have to ask for a passphrase.
        done = subprocess.run(
            [_tool(), "-Y", "sign", "-q", "-f", str(key), "-n", NAMESPACE, str(place)], check=False
        )
        if done.returncode != 0:
            raise RefusedError(f"ssh-keygen did not sign with {key}: see what it said above.")
        signature = place.with_name("manifest.json.sig").read_bytes()
    try:
        if path.is_dir():
            (path / layout.SIGNATURE).write_bytes(signature)
        else:
            with zipfile.ZipFile(path, "a") as archive:
                info = zipfile.ZipInfo(f"{top}/{layout.SIGNATURE}", (1980, 1, 1, 0, 0, 0))
                info.external_attr = (stat.S_IFREG | 0o644) << 16
                archive.writestr(info, signature)
    except OSError as error:
        raise PackageError(f"{path} cannot be written ({error.strerror}).") from error
    return signature.decode("ascii", "replace")


def signer(source: Source, manifest: bytes, signers: Path) -> str:
    """Who signed a package, by a key that ``signers`` allows; empty where nobody did.

    Raises:
        RefusedError: it is signed, but by no allowed key, or the signature is not of this package.
    """
    if layout.SIGNATURE not in source.sizes:
        return ""
    signature = source.read(layout.SIGNATURE, most=_MOST)
    if not signers.is_file():
        raise RefusedError(
            f"The package is signed, and there is no list of keys that you trust at {signers}. Put the "
            "author's public key there (a line `name ssh-ed25519 AAAA...`), or name another file with "
            f"{VARIABLE}."
        )
    with tempfile.TemporaryDirectory(prefix="nbrewind-") as folder:
        place = Path(folder) / "signature"
        place.write_bytes(signature)
        found = _run(
            "-Y", "find-principals", "-s", str(place), "-f", str(signers), "-n", NAMESPACE, data=manifest
        )
        for name in found.stdout.decode("utf-8", "replace").splitlines():
            checked = _run(
                *("-Y", "verify", "-s", str(place), "-f", str(signers), "-n", NAMESPACE, "-I", name),
                data=manifest,
            )
            if checked.returncode == 0:
                return name
    raise RefusedError(f"The package is signed, but not as it is now by a key in {signers}.")


def public_key(signature: str) -> str:
    """The key that made a signature, as a list of allowed signers and ``authorized_keys`` have it.

    The signature itself carries it (OpenSSH's PROTOCOL.sshsig), so that nobody has to look for the file.
    """
    data = base64.b64decode("".join(line for line in signature.splitlines() if not line.startswith("-----")))
    start = len(b"SSHSIG") + 4  # behind the mark and the version
    (length,) = struct.unpack_from(">I", data, start)
    blob = data[start + 4 : start + 4 + length]
    (kind,) = struct.unpack_from(">I", blob)
    return f"{blob[4 : 4 + kind].decode('ascii')} {base64.b64encode(blob).decode('ascii')}"


def can_check() -> bool:
    """Whether the program that makes and checks signatures is here."""
    return shutil.which("ssh-keygen") is not None


def torn(source: Source, manifest: bytes) -> bool:
    """Whether there is a signature that is not of this package, whoever made it."""
    if layout.SIGNATURE not in source.sizes:
        return False
    with tempfile.TemporaryDirectory(prefix="nbrewind-") as folder:
        place = Path(folder) / "signature"
        place.write_bytes(source.read(layout.SIGNATURE, most=_MOST))
        done = _run("-Y", "check-novalidate", "-s", str(place), "-n", NAMESPACE, data=manifest)
    return done.returncode != 0


def _run(*arguments: str, data: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([_tool(), *arguments], input=data, capture_output=True, check=False)


def _tool() -> str:
    found = shutil.which("ssh-keygen")
    if found is None:
        raise PackageError("Signatures need ssh-keygen (OpenSSH 8.1 or later), which is not installed here.")
    return found


def _top(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()[0].partition("/")[0]
