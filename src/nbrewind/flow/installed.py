"""The environment of a run: interpreter, platform and installed distributions (R13).

Read when a run begins, so it must be quick: only names, versions and origins are read, and
content only of what was installed from this machine.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

from blake3 import blake3

from nbrewind.model import Distribution, Environment

_FEATURES = frozenset({"sse4_2", "avx", "avx2", "fma", "avx512f", "avx512bw", "asimd", "sve"})
_HEAD = re.compile(r"^(Name|Version):[ \t]*(\S+)", re.MULTILINE)
_MOST = 5000
"""Python files of a local package that are looked at; of a larger one the version has to do."""


def environment() -> Environment:
    """What this process runs in."""
    return Environment(
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        system=platform.system(),
        machine=platform.machine(),
        libc=" ".join(platform.libc_ver()).strip(),
        kind=_kind(),
        hash_seed=os.environ.get("PYTHONHASHSEED", "random"),
        features=_features(),
        distributions=distributions(),
    )


def distributions() -> tuple[Distribution, ...]:
    """All installed distributions by name; of several with one name, that which is imported."""
    found: dict[str, Distribution] = {}
    for one in metadata.distributions():
        text = one.read_text("METADATA") or one.read_text("PKG-INFO") or ""
        head = dict(_HEAD.findall(text.partition("\n\n")[0]))
        name, version = head.get("Name", ""), head.get("Version", "")
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key and key not in found:
            found[key] = _origin(name, version, one.read_text("direct_url.json") or "")
    return tuple(found[key] for key in sorted(found))


def _origin(name: str, version: str, direct: str) -> Distribution:
    """PEP 610: how it was installed, if not from an index."""
    try:
        known = json.loads(direct) if direct else {}
        url = str(known.get("url", ""))
    except (ValueError, AttributeError):
        return Distribution(name, version)
    if not url:
        return Distribution(name, version)
    if url.startswith("file:"):
        folder = unquote(urlsplit(url).path)
        editable = bool(known.get("dir_info", {}).get("editable"))
        archive = known.get("archive_info", {}).get("hash", "")
        if "dir_info" not in known:
            return Distribution(name, version, hash=str(archive), local="archive")
        content = _content(Path(folder))
        return Distribution(name, version, local="editable" if editable else "folder", content=content)
    vcs = known.get("vcs_info", {})
    prefix = f"{vcs['vcs']}+" if "vcs" in vcs else ""
    mark = str(vcs.get("commit_id") or known.get("archive_info", {}).get("hash", ""))
    return Distribution(
        name,
        version,
        url=prefix + _without_credentials(url),
        hash=mark,
        subfolder=str(known.get("subdirectory", "")),
    )


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def _content(folder: Path) -> str:
    """Digest of a local package's Python files, empty where there are too many or none."""
    hasher, count = blake3(), 0
    for above, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__")
        for name in sorted(names):
            if not name.endswith(".py"):
                continue
            count += 1
            if count > _MOST:
                return ""
            try:
                data = Path(above, name).read_bytes()
            except OSError:
                continue  # it went while we looked
            hasher.update(
                os.path.relpath(os.path.join(above, name), folder).encode("utf-8", "surrogateescape")
            )
            hasher.update(len(data).to_bytes(8, "little") + data)
    return str(hasher.hexdigest()[:32]) if count else ""


def _kind() -> str:
    if os.path.isdir(os.path.join(sys.prefix, "conda-meta")):
        return "conda"
    return "venv" if sys.prefix != sys.base_prefix else "system"


def _features() -> tuple[str, ...]:
    try:
        text = Path("/proc/cpuinfo").read_text("ascii", "replace")
    except OSError:
        return ()
    line = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "")
    return tuple(sorted(_FEATURES & set(line.partition(":")[2].split())))
