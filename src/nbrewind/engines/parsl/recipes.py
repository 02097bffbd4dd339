"""Configurations of Parsl as JSON: what is needed to make a kernel again elsewhere.

Parsl's settings classes keep the arguments of their constructors as attributes of the
same names; their ``repr`` rests on that, and so do recipes.
"""

from __future__ import annotations

import inspect
import uuid
import weakref
from typing import Any

from nbrewind.engines.parsl.parsllib import Config, File, ParslExecutor, RepresentationMixin
from nbrewind.errors import NotStorable
from nbrewind.flow.names import reference
from nbrewind.tasks import recipes as calls

RECIPE = "_nbrewind_recipe"
known: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
"""Live kernels and executors by the identity in their recipe."""


def of_kernel(config: Any) -> dict[str, Any] | None:
    """The recipe of a kernel that is about to start; None if it cannot be made again from JSON."""
    try:
        return {"id": uuid.uuid4().hex, "config": encode(config)}
    except NotStorable:
        return None


def of_executor(executor: Any) -> dict[str, Any]:
    """The recipe of an executor, taken before it starts: starting changes its settings.

    Raises:
        NotStorable: a setting has no JSON form.
    """
    held: dict[str, Any] | None = executor.__dict__.get(RECIPE)
    if held is None:
        named = reference(type(executor))
        if named is None:
            raise NotStorable(f"the class of {type(executor).__name__} cannot be imported")
        held = {"id": uuid.uuid4().hex, "object": ":".join(named), "settings": _settings(executor)}
        executor.__dict__[RECIPE] = held
        known[held["id"]] = executor
    return held


def executor_of(recipe: dict[str, Any]) -> Any:
    """The executor of a recipe, not started; the same object for the same recipe."""
    found = known.get(recipe["id"])
    if found is None:
        settings = {name: decode(held) for name, held in recipe["settings"].items()}
        found = calls.find_class(recipe["object"])(**settings)
        found.__dict__[RECIPE] = recipe
        known[recipe["id"]] = found
    return found


def config_of(recipe: dict[str, Any]) -> Any:
    """The configuration of a kernel again."""
    return decode(recipe["config"])


def encode(value: Any) -> Any:
    """A setting as JSON.

    Raises:
        NotStorable: it has no JSON form (a callback, a monitoring hub that runs).
    """
    if isinstance(value, ParslExecutor):
        return {"executor": of_executor(value)}
    if isinstance(value, RepresentationMixin | Config):
        named = reference(type(value))
        if named is None:
            raise NotStorable(f"the class of {type(value).__name__} cannot be imported")
        return {"object": ":".join(named), "settings": _settings(value)}
    if type(value).__init__ is object.__init__ and not getattr(value, "__dict__", True):
        named = reference(type(value))
        if named is not None:  # a choice of a class, such as the radio of a pool of threads
            return {"object": ":".join(named), "settings": {}}
    if isinstance(value, File):
        return {"file": value.url}
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [encode(item) for item in value]}
    if isinstance(value, float) and value == float("inf"):
        return {"infinite": True}
    if callable(value) and not isinstance(value, type):
        named = reference(value)
        if named is None or named[0] == "__main__":
            raise NotStorable("a function of the notebook is no part of a recipe")
        return {"class": ":".join(named)}
    return calls.encode(value)


def _settings(value: Any) -> dict[str, Any]:
    found = {}
    for name, parameter in inspect.signature(type(value).__init__).parameters.items():
        if name == "self" or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if not hasattr(value, name):
            raise NotStorable(f"{type(value).__name__} does not keep its {name}")
        held = getattr(value, name)
        if held is not parameter.default and held != parameter.default:
            found[name] = encode(held)
    return found


def decode(value: Any) -> Any:
    """The setting again.

    Raises:
        NotStorable: a class is not importable here.
    """
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "executor" in value:
        return executor_of(value["executor"])
    if "object" in value:
        cls = calls.find_class(value["object"])
        return cls(**{name: decode(held) for name, held in value["settings"].items()})
    if "file" in value:
        return File(value["file"])
    if "tuple" in value:
        return tuple(decode(item) for item in value["tuple"])
    if "infinite" in value:
        return float("inf")
    return calls.decode(value)
