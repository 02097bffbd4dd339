"""Constructor calls as JSON: what is needed to make a client or a cluster again elsewhere."""

from __future__ import annotations

import contextlib
import importlib
import sys
import uuid
import weakref
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from nbrewind.errors import NotStorable
from nbrewind.flow.names import reference

CALL = "_nbrewind_call"
IDENTITY = "_nbrewind_id"
RECIPE = "_nbrewind_recipe"

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


def encode(value: Any) -> Any:
    """A constructor argument as JSON.

    Raises:
        NotStorable: it has no JSON form (credentials, callbacks).
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [encode(item) for item in value]}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: encode(item) for key, item in value.items()}}
    if isinstance(value, type):
        named = reference(value)
        if named is not None:
            return {"class": ":".join(named)}
    raise NotStorable(f"a {type(value).__name__} is no part of a recipe")


def decode(value: Any) -> Any:
    """The argument again.

    Raises:
        NotStorable: a class is not importable here.
    """
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "tuple" in value:
        return tuple(decode(item) for item in value["tuple"])
    if "dict" in value:
        return {key: decode(item) for key, item in value["dict"].items()}
    return find_class(value["class"])


def find_class(text: str) -> Any:
    """The class of a recipe.

    Raises:
        NotStorable: it is not importable here.
    """
    module, _, qualname = text.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in qualname.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise NotStorable(f"{text} cannot be imported here ({error})") from error
    return found
