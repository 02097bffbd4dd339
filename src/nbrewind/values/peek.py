"""What an image holds, without running any code of what it holds: inert stand-ins for all objects.

For explanations only.  Every class and function that a stream names becomes a stand-in which keeps what it is
given; what the real ones would have made of that is not known, so equality of stand-ins proves nothing.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable
from typing import Any

from nbrewind.errors import MissingObject
from nbrewind.flow import nans
from nbrewind.values import images

_BUILDERS = "nbrewind.values.builders"


class Inert:
    """Stands for an object: what it was to be made of."""

    label = ""
    """What kind of object it stands for, as ``module.Name``."""

    args: tuple[Any, ...]
    attributes: dict[Any, Any]
    elements: list[Any]
    pairs: dict[Any, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Inert:
        """Streams make objects with and without ``__init__``."""
        made = object.__new__(cls)
        made.args, made.attributes, made.elements, made.pairs = args, dict(kwargs), [], {}
        return made

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Made already."""

    def __call__(self, *args: Any, **kwargs: Any) -> Inert:
        return stand_in(f"{self.label}()")(*args, **kwargs)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.pairs[key] = value

    def append(self, value: Any) -> None:
        """Takes an element."""
        self.elements.append(value)

    add = append

    def extend(self, values: Any) -> None:
        """Takes elements."""
        self.elements.extend(values)

    def __setstate__(self, state: Any) -> None:
        self.take(state)

    def take(self, *states: Any) -> None:
        """Takes what pickle gives as an object's state: attributes by name, or anything."""
        for state in states:
            for part in state if isinstance(state, tuple) else (state,):
                if isinstance(part, dict) and all(isinstance(key, str) for key in part):
                    self.attributes.update(part)
                else:
                    self.elements.append(part)


def stand_in(label: str) -> type[Inert]:
    """A class of stand-ins."""
    return type("Inert", (Inert,), {"label": label})


def _set(target: Any, *states: Any) -> None:
    if isinstance(target, Inert):
        target.take(*states)
    elif isinstance(target, type) and issubclass(target, Inert):
        target.label += "*"


def _set_instance(target: Any, state: dict[str, Any]) -> None:
    if isinstance(target, Inert):
        target.attributes.update(state.get("dict", {}) | state.get("slots", {}))
        target.pairs.update(state.get("pairs", {}))
        rest = [state[name] for name in ("items", "members", "bytes", "args") if name in state]
        target.elements.extend(part for parts in rest for part in parts)


def _rebuilt(name: str, version: int, cls: type[Inert], *state: Any) -> Inert:
    """A value of a codec: its state has no places that anybody knows but the names of attributes."""
    made = cls()
    made.take(*state)
    return made


def _filled(target: Any, state: tuple[str, int, type[Inert], Any]) -> None:
    if isinstance(target, Inert):
        target.take(state[3])


def _instance(cls: type[Inert], base: Any, payload: Any) -> Inert:
    return cls(payload)


def _reference(module: str, qualname: str) -> type[Inert]:
    return stand_in(f"{module}.{qualname}")


def _class(root: str) -> type[Inert]:
    return stand_in(root.rpartition("#")[2])


_KNOWN: dict[str, Callable[..., Any]] = {
    "load_reference": _reference,
    "load_class": _class,
    "make_instance": _instance,
    "set_instance": _set_instance,
    "rebuild_value": _rebuilt,
    "blank_value": _rebuilt,
    "fill_value": _filled,
}


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, pid: Any) -> Any:
        """NaNs are stored so, and references to what a process has one of."""
        one = isinstance(pid, str) and pid not in nans.PLACES
        return stand_in(pid) if one else math.nan

    def find_class(self, module: str, name: str) -> Any:
        """Never the real thing."""
        if module == _BUILDERS:
            return _KNOWN.get(name) or (_set if name.startswith("set_") else stand_in(name))
        return stand_in(f"{module}.{name}")


def peek(image: bytes) -> dict[str, Any] | None:
    """The roots of an image as stand-ins; None where that cannot be had."""
    try:
        parts = images.header(image)
        buffers = [",".join(digests).encode() for digests in parts.buffers]
        found = _Unpickler(io.BytesIO(parts.stream), buffers=buffers).load()
    except (MissingObject, pickle.UnpicklingError, ValueError, TypeError, AttributeError, EOFError):
        return None
    except (IndexError, KeyError, RecursionError, OverflowError):
        return None
    return found if isinstance(found, dict) else None


def difference(old: Any, new: Any, place: str) -> str:
    """Where two peeked values differ first, as an expression and a few words; empty where they do not."""
    return _difference(old, new, place, set(), 0)


def _difference(old: Any, new: Any, place: str, seen: set[tuple[int, int]], depth: int) -> str:
    if (id(old), id(new)) in seen or depth > 40:
        return ""
    seen.add((id(old), id(new)))
    if isinstance(old, Inert) and isinstance(new, Inert):
        if old.label != new.label:
            return f"{place} (type)"
        return (
            _in_pairs(old.pairs, new.pairs, place, seen, depth)
            or _in_attributes(old.attributes, new.attributes, place, seen, depth)
            or _in_list(old.elements, new.elements, place, seen, depth, own=False)
            or _in_list(old.args, new.args, place, seen, depth, own=False)
        )
    if type(old) is not type(new):
        return f"{place} (type)"
    if isinstance(old, dict):
        return _in_pairs(old, new, place, seen, depth)
    if isinstance(old, list | tuple):
        return _in_list(old, new, place, seen, depth, own=True)
    if isinstance(old, type):
        return "" if getattr(old, "label", "") == getattr(new, "label", "") else place
    return "" if old == new or (old != old and new != new) else place


def _in_pairs(old: dict[Any, Any], new: dict[Any, Any], place: str, seen: set[Any], depth: int) -> str:
    if any(isinstance(key, Inert) for key in (*old, *new)):
        return _in_list(list(old.items()), list(new.items()), place, seen, depth, own=False)
    for key in new:
        where = f"{place}[{_short(key)}]"
        if key not in old:
            return f"{where} (new)"
        found = _difference(old[key], new[key], where, seen, depth + 1)
        if found:
            return found
    gone = next((key for key in old if key not in new), None)
    if gone is not None or len(old) != len(new):
        return f"{place}[{_short(gone)}] (gone)"
    return "" if list(old) == list(new) else f"{place} (order)"


def _in_attributes(old: dict[Any, Any], new: dict[Any, Any], place: str, seen: set[Any], depth: int) -> str:
    for name in [*new, *(name for name in old if name not in new)]:
        where = f"{place}.{name}"
        if name not in old:
            return f"{where} (new)"
        if name not in new:
            return f"{where} (gone)"
        found = _difference(old[name], new[name], where, seen, depth + 1)
        if found:
            return found
    return ""


def _in_list(old: Any, new: Any, place: str, seen: set[Any], depth: int, *, own: bool) -> str:
    """``own`` elements have places of their own; others are details of an object."""
    for index, (a, b) in enumerate(zip(old, new, strict=False)):
        found = _difference(a, b, f"{place}[{index}]" if own else place, seen, depth + 1)
        if found:
            return found
    if len(old) == len(new):
        return ""
    return f"{place} ({len(new)} elements, were {len(old)})" if own else place


def _short(key: Any) -> str:
    text = repr(key)
    return text if len(text) <= 40 else text[:37] + "..."
