"""Results of tasks as bytes.

Classes of the notebook are stored by name and found again in the live namespace, so
that a served result is an instance of the very class that the notebook holds.  The
first byte says whether such a class is in it: those are loaded while their cell runs,
all others whenever their value is asked for.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Callable, Mapping
from typing import Any

import cloudpickle

from nbrewind.errors import NotStorable
from nbrewind.values.arrays import memory_reduction

PLAIN = b"P"
NAMED = b"C"
Namespace = Callable[[], Mapping[str, Any]]


def main_namespace() -> Mapping[str, Any]:
    """The namespace of ``__main__``: where a kernel's cells run."""
    return vars(sys.modules["__main__"])


class _MainClass:
    """Stands in a pickle for a class of the notebook, by its qualified name."""

    def __init__(self, qualname: str) -> None:
        self.qualname = qualname


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
        self.named = False

    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, type) and obj.__module__ == "__main__" and "<" not in obj.__qualname__:
            self.named = True
            return ("class", obj.__qualname__)
        return None

    def reducer_override(self, obj: Any) -> Any:
        """Arrays come back owning their memory, as an engine delivers them."""
        reduced = memory_reduction(obj)
        return super().reducer_override(obj) if reduced is NotImplemented else reduced


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, namespace: Namespace) -> None:
        super().__init__(file)
        self._namespace = namespace

    def persistent_load(self, pid: Any) -> Any:
        first, *rest = str(pid[1]).split(".")
        try:
            value = self._namespace()[first]
            for part in rest:
                value = getattr(value, part)
        except (KeyError, AttributeError) as error:
            raise NotStorable(f"the notebook has no class {pid[1]!r} now") from error
        return value


def dumps(value: Any) -> bytes:
    """Bytes of a task's result.

    Raises:
        NotStorable: the value cannot be pickled; the message says why.
    """
    file = io.BytesIO()
    pickler = _Pickler(file)
    try:
        pickler.dump(value)
    except Exception as error:
        raise NotStorable(f"a {type(value).__name__} cannot be pickled ({error})") from error
    return (NAMED if pickler.named else PLAIN) + file.getvalue()


def loads(data: bytes, namespace: Namespace = main_namespace) -> Any:
    """The value again, new at every call.

    Raises:
        NotStorable: it cannot be built here: a class or a package is missing.
    """
    try:
        return _Unpickler(io.BytesIO(data[1:]), namespace).load()
    except NotStorable:
        raise
    except Exception as error:
        raise NotStorable(f"a stored result cannot be loaded ({type(error).__name__}: {error})") from error


def needs_namespace(data: bytes) -> bool:
    """Whether loading looks up classes of the notebook."""
    return data[:1] == NAMED
