"""Versions of the installed packages that a task's result rests on (R13).

The key of a task names packages and not their versions; its entry has these, so that they can be compared
by the rule that was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from nbrewind.flow.environment import installed_agrees, versions
from nbrewind.model import TaskEntry


class Node(Protocol):
    """A task among others that give it their results."""

    packages: frozenset[str]
    """Installed packages that it names itself."""
    entry: TaskEntry | None
    """What it was served from, or what it left."""
    known_versions: dict[str, str] | None
    """What ``versions_above`` found."""


N = TypeVar("N", bound=Node)


def versions_above(node: N, above: Callable[[N], Sequence[N]]) -> dict[str, str]:
    """Packages of a node and of all above it, whose results are known.

    The key that is known at submission does not see these results, so what could change them goes with it.
    Of two versions the one that is not installed here counts: something was made with it.
    """
    stack = [(node, False)]
    while stack:
        one, closing = stack.pop()
        if one.known_versions is not None:
            continue
        if not closing:
            stack.append((one, True))
            stack += [(other, False) for other in above(one)]
            continue
        recorded = one.entry.packages if one.entry is not None else {}
        found = versions(one.packages) | recorded
        for other in above(one):
            for package, version in (other.known_versions or {}).items():
                if found.get(package) != version and not installed_agrees(package, version, "exact"):
                    found[package] = version
                found.setdefault(package, version)
        one.known_versions = found
    return node.known_versions or {}
