"""Values through images without a notebook, and the same in another process for the conformance classes."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from blake3 import blake3

from nbrewind.errors import MissingObject, NotStorable
from nbrewind.flow.digest import Walk
from nbrewind.flow.room import deep
from nbrewind.values import images


class Desk:
    """A store in memory, and the world of a process without a notebook."""

    def __init__(self, objects: Mapping[str, bytes] | None = None) -> None:
        self.objects: dict[str, bytes] = dict(objects or {})
        self.namespace: dict[str, Any] = {}
        self.reloads: Mapping[str, str] = {}

    # -- what walks and images ask --------------------------------------------------------

    def class_root(self, cls: type) -> str:
        """Classes must be importable here."""
        raise NotStorable(f"{cls.__qualname__} cannot be imported from {cls.__module__}")

    def class_of(self, root: str) -> type:
        """There are no classes of a notebook."""
        raise NotStorable(f"{root} belongs to a notebook")

    def existing_class(self, root: str) -> type | None:
        """There are no classes of a notebook."""
        return None

    def register_class(self, root: str, cls: type) -> None:
        """There are no classes of a notebook."""
        raise NotStorable(f"{root} belongs to a notebook")

    def handle(self, obj: Any) -> str | None:
        """There are no handles."""
        return None

    def has_handles(self, cls: type) -> bool:
        """There are no handles."""
        return False

    def handle_recipe(self, obj: Any) -> tuple[str, Any]:
        """There are no handles."""
        raise LookupError(type(obj).__name__)

    def rebuild_handle(self, identity: str, kind: str, recipe: Any) -> Any:
        """There are no handles."""
        raise NotStorable(f"a {kind} belongs to an engine")

    def is_namespace(self, mapping: Any) -> bool:
        """There is no namespace of a user."""
        return mapping is self.namespace

    # -- values -----------------------------------------------------------------------------

    def digest(self, value: Any) -> str:
        """The digest that a kernel would give.

        Raises:
            NotStorable: the value cannot be stored.
        """
        walk = self.walk(value)
        if walk.opaque:
            raise NotStorable(next(iter(walk.opaque)))
        return walk.digest()

    def walk(self, value: Any) -> Walk:
        """The walk over a value."""
        walk = Walk(self)
        with deep():
            walk.visit(value)
        return walk

    def put(self, data: bytes | memoryview, digest: str = "") -> str:
        """Keep an object."""
        raw = bytes(data)
        digest = blake3(raw).hexdigest()
        self.objects[digest] = raw
        return digest

    def get(self, digest: str) -> bytes:
        """A kept object."""
        try:
            return self.objects[digest]
        except KeyError:
            raise MissingObject(digest) from None

    def join(self, digests: list[str]) -> bytearray:
        """Kept objects one after the other."""
        return bytearray().join(self.get(digest) for digest in digests)

    def save(self, **roots: Any) -> str:
        """Store values as one component."""
        return images.save(roots, self, self.put)

    def load(self, image: str) -> dict[str, Any]:
        """The values of a component, made anew."""
        return images.load(self.get(image), self, self.join)

    def round_trip(self, **roots: Any) -> dict[str, Any]:
        """Values as they come back from the store."""
        return self.load(self.save(**roots))


def elsewhere(case: type, seed: str, folder: Path, images: Mapping[str, bytes]) -> dict[str, list[str]]:
    """Digests in another process: of ``case``'s values made there, and of what ``images`` hold."""
    for name, data in images.items():
        (folder / name).write_bytes(data)
    source = sys.modules[case.__module__].__file__
    found = subprocess.run(
        [sys.executable, "-m", __name__, str(source), case.__module__, case.__qualname__, str(folder)],
        env={**_environment(), "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    answer: dict[str, list[str]] = json.loads(found.stdout.splitlines()[-1])
    return answer


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def main(source: str, module: str, qualname: str, folder: str) -> None:
    """What ``elsewhere`` starts."""
    case = _load(source, module)
    for part in qualname.split("."):
        case = getattr(case, part)
    tests = case()
    tests.use_codec()
    desk = Desk({path.name: path.read_bytes() for path in Path(folder).iterdir()})
    order = json.loads(desk.get("order")) if "order" in desk.objects else []
    answer = {
        "made": [desk.digest(value) for value in tests.values()],
        "restored": [desk.digest(desk.load(image)["value"]) for image in order],
    }
    print("\n" + json.dumps(answer))


def _load(source: str, module: str) -> Any:
    """A module by the name that it has in the tests: its classes are in images by that name."""
    spec = importlib.util.spec_from_file_location(module, source)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    parts = module.split(".")
    for length in range(1, len(parts)):
        name = ".".join(parts[:length])
        if name not in sys.modules:
            sys.modules[name] = importlib.util.module_from_spec(importlib.machinery.ModuleSpec(name, None))
    sys.modules[module] = loaded
    spec.loader.exec_module(loaded)
    return loaded


if __name__ == "__main__":
    main(*sys.argv[1:])
