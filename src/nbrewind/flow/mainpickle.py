"""Pickling of functions whose globals are the notebook's namespace.

dill writes the globals of ``__main__`` by reference and knows them by their exact type,
``dict``; the tracked namespace is another.
"""

from __future__ import annotations

from typing import Any

from nbrewind.flow.namespace import Namespace


def teach_dill(dill: Any) -> None:
    """Let dill write the namespace as it writes the dict of any ``__main__``."""
    if Namespace not in dill.Pickler.dispatch:
        dill.register(Namespace)(_save)


def _save(pickler: Any, namespace: Namespace) -> None:
    # What dill itself writes for the dict of the main module.
    pickler.write(b"c__builtin__\n__main__\n")
