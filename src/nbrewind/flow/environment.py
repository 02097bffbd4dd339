"""Versions of installed packages, by the name that code imports (R13)."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import lru_cache
from importlib import metadata


@lru_cache(maxsize=1)
def _distributions() -> dict[str, list[str]]:
    return dict(metadata.packages_distributions())


@lru_cache(maxsize=4096)
def installed_version(package: str) -> str:
    """Version of the distribution that provides a package; empty for the standard library.

    Read from metadata, so that asking imports nothing.
    """
    if package in sys.stdlib_module_names:
        return ""
    names = [package]
    for position in (0, 1):
        for name in names:
            try:
                return str(metadata.version(name))
            except (metadata.PackageNotFoundError, ValueError):
                continue
        names = _distributions().get(package, []) if position == 0 else []
    return ""


def agrees(recorded: str, present: str, rule: str) -> bool:
    """Whether a package's version holds by the rule ``exact``, ``compatible`` or ``any``.

    Compatible versions have the same major and minor number.
    """
    if rule == "any" or recorded == present:
        return True
    return rule == "compatible" and recorded.split(".")[:2] == present.split(".")[:2]


def installed_agrees(package: str, recorded: str, rule: str = "compatible") -> bool:
    """Whether the version that is installed here ``agrees`` with a recorded one."""
    return agrees(recorded, installed_version(package), rule)


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Packages by the version that is installed here; those that have none are left out."""
    found = {package: installed_version(package) for package in sorted(packages)}
    return {package: version for package, version in found.items() if version}
