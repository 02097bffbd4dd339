"""Constructor calls as JSON: what is needed to make a client or a cluster again elsewhere."""

from __future__ import annotations

import contextlib
import sys
import threading
import uuid
import weakref
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from nbrewind.errors import NotStorable
from nbrewind.flow.names import reference
from nbrewind.tasks.recipes import decode, encode, find_class

CALL = "_nbrewind_call"
IDENTITY = "_nbrewind_id"
RECIPE = "_nbrewind_recipe"
SIZES = "_nbrewind_sizes"
SIZING = ("scale", "scale_up", "adapt")
"""Methods by which a notebook says how many workers a cluster has: one that comes back without has none."""
_inside = threading.local()
"""``sizing``: whether this thread is in one of them."""

__all__ = [
    "SIZES",
    "SIZING",
    "call_recipe",
    "clean_path",
    "decode",
    "encode",
    "find_class",
    "known",
    "recording",
    "remember_sizes",
    "resize",
    "sizes_of",
    "sizing",
]

known: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
"""Live clients and clusters by the identity in their recipe."""


def recording(original: Callable[..., None]) -> Callable[..., None]:
    """Wrap an ``__init__`` so that the outermost call is remembered on the object."""

    @wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        if CALL not in self.__dict__:
            self.__dict__[CALL] = (args, dict(kwargs))
            self.__dict__[IDENTITY] = uuid.uuid4().hex
            known[self.__dict__[IDENTITY]] = self
        with clean_path():
            original(self, *args, **kwargs)

    return init


def sizing(name: str, original: Callable[..., Any], by_user: Callable[[], bool]) -> Callable[..., Any]:
    """Wrap one of ``SIZING`` so that the user's last call of it is remembered on the cluster."""

    @wraps(original)
    def size(self: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(_inside, "sizing", False) or not by_user():
            return original(self, *args, **kwargs)
        _inside.sizing = True
        try:
            done = original(self, *args, **kwargs)
        finally:
            _inside.sizing = False
        sizes = self.__dict__.setdefault(SIZES, {})
        sizes.pop(name, None)  # the order of the calls counts
        sizes[name] = (args, kwargs)
        return done

    return size


def sizes_of(cluster: Any) -> list[Any]:
    """The calls that gave a cluster its size, in order, as JSON.

    Raises:
        NotStorable: an argument has no JSON form.
    """
    held = object.__getattribute__(cluster, "__dict__").get(SIZES, {})
    return [
        [name, [encode(value) for value in args], {key: encode(value) for key, value in kwargs.items()}]
        for name, (args, kwargs) in held.items()
    ]


def remember_sizes(obj: Any, sizes: list[Any]) -> None:
    """Let a cluster, or a client that will make one, have the calls of a recipe."""
    obj.__dict__[SIZES] = {
        name: ([decode(value) for value in args], {key: decode(value) for key, value in kwargs.items()})
        for name, args, kwargs in sizes
    }


def resize(cluster: Any, calls: dict[str, Any]) -> None:
    """Make the calls that give a cluster its size."""
    for name, (args, kwargs) in list(calls.items()):
        getattr(cluster, name)(*args, **kwargs)


@contextlib.contextmanager
def clean_path() -> Iterator[None]:
    """Keep Dask's scratch folders out of ``sys.path``: their random names would be ambient state.

    A scheduler in this process puts its own there; modules that are uploaded to workers
    get their folder at upload.
    """
    before = set(sys.path)
    try:
        yield
    finally:
        sys.path[:] = [p for p in sys.path if p in before or "dask-scratch-space" not in p]


def call_recipe(obj: Any, encode: Callable[[Any], Any]) -> dict[str, Any] | None:
    """The recorded call of an object; None if it cannot be repeated from JSON."""
    held: dict[str, Any] | None = obj.__dict__.get(RECIPE)
    if held is not None:
        return held
    call = obj.__dict__.get(CALL)
    named = reference(type(obj))
    if call is None or named is None or call[1].get("asynchronous"):
        return None
    try:
        return {
            "id": obj.__dict__[IDENTITY],
            "class": ":".join(named),
            "args": [encode(value) for value in call[0]],
            "kwargs": {name: encode(value) for name, value in call[1].items()},
        }
    except NotStorable:
        return None
