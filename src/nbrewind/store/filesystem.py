"""Which file system a store lies on, and what is unsafe there.

SQLite's write-ahead log needs memory that all its users share, so they must be on one machine;
a mapped file whose server goes away ends the process that touches it.  Where a file system
reaches over a network, or through a program of a user, neither is used.
"""

from __future__ import annotations

import re
from pathlib import Path

_REMOTE = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "coda", "gfs2", "glusterfs", "gpfs", "lustre", "nfs", "nfs4"}
    | {"ocfs2", "orangefs", "panfs", "pvfs2", "smb3", "smbfs", "vboxsf", "wekafs"}
)
_LOCAL_FUSE = frozenset({"fuseblk", "fuse.fuse-overlayfs", "fuse.ntfs", "fuse.ntfs-3g", "fuse.exfat"})
"""Local disks and containers with a driver outside the kernel."""

_MOUNTS = Path("/proc/self/mountinfo")


def remote(path: Path) -> str:
    """The type of the file system of ``path`` if it is remote or made by a program, else empty."""
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
        found = type_of(path.resolve(), mounts)
    except OSError:
        return ""
    unsafe = found in _REMOTE or (found.startswith("fuse") and found not in _LOCAL_FUSE)
    return found if unsafe else ""


def caution(path: Path) -> str:
    """A sentence about a store in an unsafe place; empty elsewhere."""
    found = remote(path)
    if not found:
        return ""
    return (
        f"The store lies on {found}, where a log in shared memory and mapped files are unsafe: it is written "
        "with a rollback journal and read without mapping, which is slower. NBREWIND_STORE may name "
        "a local disk."
    )


def type_of(path: Path, mounts: str) -> str:
    """The type of the innermost mount over an absolute path, by the text of ``mountinfo``."""
    best, found = -1, ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(), after.split()
        if len(fields) < 5 or not kinds:
            continue
        place = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[4]))
        if (path == place or place in path.parents) and len(place.parts) >= best:
            best, found = len(place.parts), kinds[0]
    return found
