"""Arguments of constructor calls as JSON, for recipes of handles (R4)."""

from __future__ import annotations

import importlib
from typing import Any

from nbrewind.errors import NotStorable
from nbrewind.flow.names import reference


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
