"""matplotlib: pickling drops what a cell connected, and that a colour bar follows its image (R4)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import BuiltinMethodType, FunctionType, MethodType
from typing import Any

from matplotlib import cbook

from nbrewind.errors import NotStorable
from nbrewind.flow.codecs import Codec
from nbrewind.flow.kinds import is_instance_kind
from nbrewind.flow.names import package_of, reference

_WINDOWS = ("matplotlib.backend", "matplotlib._pylab_helpers", "matplotlib_inline", "ipympl")
"""Modules whose callbacks belong to a figure's window, and are connected when that is made again."""


class Callbacks(Codec):
    """Registers of callbacks, which figures, axes, norms and images have."""

    name = "matplotlib.CallbackRegistry"
    types = (cbook.CallbackRegistry,)
    derived = True

    def state(self, value: Any) -> Any:
        """What pickling gives, with all callbacks but those of windows."""
        held = value.__getstate__()
        found = {
            signal: {number: kept for number, ref in known.items() if (kept := ref()) is not None}
            for signal, known in value.callbacks.items()
        }
        held["callbacks"] = {
            signal: {
                number: kept
                for number, kept in known.items()
                if number in value._pickled_cids or not _of_a_window(kept)
            }
            for signal, known in found.items()
        }
        return held

    def fill(self, value: Any, state: Any) -> None:
        """As unpickling does."""
        value.__setstate__(dict(state))


def _of_a_window(callback: Callable[..., Any]) -> bool:
    """Whether a window connects it.

    Raises:
        NotStorable: nothing knows how to make it again.
    """
    if isinstance(callback, MethodType):
        return _module_of(type(callback.__self__)).startswith(_WINDOWS)
    if isinstance(callback, FunctionType):
        module = _module_of(callback)
        # What a figure is given to tell about its axes, it wraps.
        held = [cell.cell_contents for cell in callback.__closure__ or () if module == "matplotlib.figure"]
        if any(_module_of(one).startswith(_WINDOWS) for one in (callback, *held)):
            return True
        if package_of(module) != "__main__" and reference(callback) is None:
            raise NotStorable(f"a callback that {module} made")
        return False
    if isinstance(callback, BuiltinMethodType | partial) or is_instance_kind(type(callback)):
        return False
    raise NotStorable(f"a {type(callback).__name__} as a callback")


def _module_of(obj: Any) -> str:
    return str(getattr(obj, "__module__", ""))
