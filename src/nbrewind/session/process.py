"""One kernel process: what it holds, what watches it, and how it is brought to the state."""

from __future__ import annotations

import contextlib
import importlib
import io
import pickle
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from nbrewind.errors import NBRewindError, NotStorable
from nbrewind.flow.ambient import Ambient
from nbrewind.flow.digest import content_digest, made_by_hand
from nbrewind.flow.entropy import Entropy
from nbrewind.flow.files import ABOVE_CELLS, FileWatch, ends_search
from nbrewind.flow.hidden import HiddenState
from nbrewind.flow.imports import ImportWatch
from nbrewind.flow.logs import LogWatch
from nbrewind.flow.mainpickle import teach_dill
from nbrewind.flow.names import BASELINES, is_local_module, is_user_file, package_of, retake_baselines
from nbrewind.flow.stored import StoredModules
from nbrewind.flow.world import CLOSED
from nbrewind.model import AmbientValue, FileState, Run, State
from nbrewind.session import modules
from nbrewind.session.counters import Counters
from nbrewind.session.keep import Keep, check_rule
from nbrewind.session.memory import Memory
from nbrewind.session.observe import Observer
from nbrewind.session.options import Options
from nbrewind.session.patches import Patches
from nbrewind.session.world_files import FileLayer, StartWorld
from nbrewind.store import Store
from nbrewind.tasks.adapter import EngineAdapter, load_adapters
from nbrewind.tasks.context import TaskContext
from nbrewind.values import images


class Process:
    """Memory, files, ambient items and engines of one process."""

    def __init__(
        self, store: Store, root: Path, run: Run, options: Options, memory: Memory | None = None
    ) -> None:
        self.store = store
        store.references, store.tolerant = images.references, True
        self.root = root
        self.options = options
        self.recording = False
        """Whether a cell of the user executes now."""
        self.sets_attributes_of: frozenset[str] = frozenset()
        """Names that the cell mentions, if it sets attributes: of classes that it imports, perhaps."""
        self.behind = False
        """Whether a restored cell changed S and the process has not been brought to it yet."""
        self.memory = memory or Memory(store)
        self.memory.suspend = self.suspended
        self.memory.rebuild_handle_with = self._rebuild_handle
        self.observer = Observer(self.memory)
        self.keep = Keep(store.path, check_rule(options.keep), options.keep_bytes)
        self.ambient = Ambient(str(root))
        self.files = FileWatch(
            root, store_file=store.keep_file, digest_file=store.digest_file, ignore=self._ignored()
        )
        self.files.is_user_frame = self._is_user_frame
        self.tasks = TaskContext(store, root)
        self.tasks.file_state = self._file_now
        self.tasks.default_client = self._restore_handles
        self.tasks.ignore_folder = self.files.ignore
        self.tasks.quiet = self.files.quiet
        self.start = StartWorld(root, run, store.digest_file, self.ambient.base_env)
        self.start.ignored = self.files.ignored
        self.start.environment_rule = options.env
        self.tasks.package_holds = self.start.package
        self.layer = FileLayer(self.start, store)
        self.hidden = HiddenState()
        self.counters = Counters()
        self.patches = Patches()
        self.entropy = Entropy(lambda: self.ambient.recording, self._is_user_frame, ABOVE_CELLS)
        self.logs = LogWatch(lambda: self.ambient.recording)
        self.imports = ImportWatch()
        self.adapters: list[EngineAdapter] = []
        self.notes: list[str] = []
        """What could not be put back as it was; told with the next cell."""
        self.own_objects: dict[str, Any] = {}
        """Objects that every kernel process has one of, by name: streams, the shell."""
        self.engine_state: frozenset[str] = frozenset()
        """Module attributes that belong to engines and are no state of the notebook."""
        self._install()

    @property
    def state(self) -> State:
        """S, the current state."""
        return self.memory.state

    def remove(self) -> None:
        """Take out everything that was put into the process to watch it."""
        for adapter in self.adapters:
            if any(name in sys.modules for name in adapter.modules):
                adapter.uninstall()
        self.imports.remove()
        self.ambient.unwatch()
        self.entropy.remove()
        self.logs.remove()
        self.files.remove()
        BASELINES.clear()
        modules.forget_classes()

    def _ignored(self) -> list[str]:
        paths = [*self.options.ignore, str(self.store.path)]
        return [*paths, self.options.notebook] if self.options.notebook else paths

    def _install(self) -> None:
        self.imports.install()
        self.imports.any_callbacks.append(self._imported)
        self.imports.make_again = self._make_module
        self.imports.by_cell = self._importing
        self.imports.before_reload = self._load_all
        self.imports.around = self.patches.before_import, self.patches.after_import
        self.hidden.named_modules = self._named_modules
        self.entropy.install()
        self.logs.install()
        self.ambient.watch_environment(self._caused_by_user)
        self.ambient.watch_seeds("rng:random", random, "seed", "setstate")
        self.ambient.watch_looks("rng:random", random, "getstate")
        self.imports.when("numpy.random", self._numpy_random)
        self.imports.when("torch", self._torch_random)
        self.imports.when("dill", teach_dill)
        self.adapters = load_adapters()
        owned: set[str] = set()
        for adapter in self.adapters:
            owned |= {f"attr:{name}" for name in getattr(adapter, "engine_state", ())}
            for name in adapter.modules:
                self.imports.when(name, lambda _, adapter=adapter: self._engine_imported(adapter))  # type: ignore[misc]
        self.engine_state = frozenset(owned)

    def engine_attributes(self, packages: set[str]) -> list[str]:
        """Roots of what engines of these packages keep for cells that do not name it (R8)."""
        found = []
        for adapter in self.adapters:
            for name in adapter.state_attributes:
                root = f"attr:{name}"
                module = name.partition(":")[0]
                if package_of(module) not in packages or module not in sys.modules:
                    continue
                if root in self.state.names or modules.get_attribute(root) is not None:
                    found.append(root)
        return found

    def _file_now(self, path: str) -> FileState:
        """What the state, else the start world, says a path holds (R6)."""
        key = self.portable(path)
        return self.state.files.get(key) or self.start.file(key, content=True)

    def _restore_handles(self) -> None:
        """An engine is used without naming its client: restored open handles must exist then."""
        for root, version in list(self.state.names.items()):
            is_open = any(dep.startswith("handle:") and not dep.endswith(CLOSED) for dep in version.deps)
            if is_open and not self.memory.is_live(root):
                with contextlib.suppress(NBRewindError):
                    self.memory.materialise(root)

    def _rebuild_handle(self, identity: str, kind: str, recipe: Any) -> Any:
        engine = kind.partition(".")[0]
        if engine == "process":
            return self.own_objects[recipe]
        if self.options.engine == "none":
            raise NotStorable(f"a {kind} is needed, and --engine none refuses to start any")
        for adapter in self.adapters:
            if adapter.name == engine:
                return adapter.rebuild(kind, recipe)
        raise NotStorable(f"the engine {engine!r} is not installed here")

    def _numpy_random(self, module: Any) -> None:
        """Its state at import is what the cell that imports it starts from."""
        self._starts_now("rng:numpy")
        self.ambient.watch_seeds("rng:numpy", module, "seed", "set_state")
        self.ambient.watch_looks("rng:numpy", module, "get_state")

    def _torch_random(self, module: Any) -> None:
        self._starts_now("rng:torch")
        for owner in (module, module.random):
            self.ambient.watch_seeds("rng:torch", owner, "manual_seed", "set_rng_state")
            self.ambient.watch_looks("rng:torch", owner, "get_rng_state")
            self.ambient.watch_call(owner, "seed", self.entropy.note)

    def _starts_now(self, key: str) -> None:
        """Before its looks are watched: ours is none of the notebook's."""
        item = self.ambient.item(key)
        if item is not None and self.ambient.available(item):
            self.ambient.start.setdefault(item.key, self.ambient.digest(item))

    def _engine_imported(self, adapter: EngineAdapter) -> None:
        with self.suspended():
            adapter.install(self.tasks)
            for package in {name.partition(".")[0] for name in adapter.modules}:
                retake_baselines(package)
            for cls, describe in adapter.handles().items():
                self.memory.world.handle_types[cls] = describe
            modules.prepare_attributes(adapter.state_attributes)
            self.patches.after_import()

    def _imported(self, module: Any) -> None:
        self.ambient.refresh()
        name = module.__name__
        self.counters.imported(module)
        self.patches.imported(module)
        if self.sets_attributes_of:
            modules.prepare_classes(modules.named_classes(self.sets_attributes_of, {name}, ()))
        for item in self.ambient.items:
            value = self.state.ambient.get(item.key) if item.module == name else None
            if value is not None and value.image and self.ambient.available(item):
                with self.suspended():
                    self._put_item(item.key, value)
        filters = self.state.ambient.get("warnings")
        if filters is not None and filters.image and self.memory.thread.quiet:
            # The notebook imported it long ago: what importing adds must not come first now.
            self._put_item("warnings", filters)
        if is_local_module(name):
            with self.suspended():
                for root, value in modules.local_data({name}).items():
                    with contextlib.suppress(NBRewindError):
                        self.memory.attribute_baseline[root] = content_digest(value)

    def _make_module(self, name: str) -> bool:
        made = [r for r, v in self.state.names.items() if v.opaque.startswith(made_by_hand(name))]
        for root in made:
            self.memory.prefault(root)
        return bool(made)

    def _named_modules(self) -> set[str]:
        return {value.__name__ for value in self.memory.live.values() if isinstance(value, ModuleType)}

    def _is_user_frame(self, frame: FrameType) -> bool:
        if frame.f_globals is self.memory.namespace:
            return True
        return is_user_file(frame.f_code.co_filename)

    def _caused_by_user(self) -> bool:
        if not self.recording or self.memory.thread.quiet or self.files.is_quiet():
            return False
        frame: FrameType | None = sys._getframe(2)
        while frame is not None:
            name = frame.f_code.co_filename
            if ends_search(name):
                return False
            if not name.startswith("<frozen") and self._is_user_frame(frame):
                return True
            frame = frame.f_back
        return False

    def _load_all(self) -> None:
        """What is parked refers to objects of modules by name: after a reload those are others."""
        with self.memory.own_work():
            for name in self.memory.names():
                with contextlib.suppress(NBRewindError):  # told when somebody touches it
                    self.memory.materialise(name)

    def _importing(self) -> bool:
        """Whether a cell's code is above an import."""
        frame: FrameType | None = sys._getframe(2)
        while frame is not None and not frame.f_code.co_filename.endswith(ABOVE_CELLS):
            if self._is_user_frame(frame):
                return True
            frame = frame.f_back
        return False

    @contextlib.contextmanager
    def suspended(self) -> Iterator[None]:
        """Own loads open files, draw random numbers and read variables: none of it counts."""
        recording, self.ambient.recording = self.ambient.recording, False
        try:
            with self.files.quiet():
                yield
        finally:
            self.ambient.recording = recording

    def modules_in_state(self) -> set[str]:
        """Modules that names of the state are bound to, already loaded ones."""
        found = {root[4:] for root in self.state.marked if root.startswith("mod:")}
        live = [(root, value) for root, value in list(self.memory.live.items()) if type(value) is ModuleType]
        return found | {value.__name__ for root, value in live if ":" not in root}

    def bring(self) -> dict[str, str] | None:
        """Order matters: path and folder, files, imports, module attributes, then ambient again.

        Gives the digests of the ambient items, None where something had to be put.
        """
        memory = self.memory
        self.behind = False
        self.ambient.refresh()
        with memory.own_work():
            self.layer.lay_down(self.state.files)
            missing = [name for name in self.state.imports if name not in sys.modules]
            attributes = [root for root in self.state.attributes if not memory.is_live(root)]
            if missing or attributes:
                self._put_ambient(("sys.path", "cwd"))
            self._import(missing)
            for root in attributes:
                # Code cannot meet what a package holds that is not installed here (an engine, R13).
                if not memory.is_live(root) and modules.is_there(root):
                    memory.materialise(root)
            for root in sorted(memory.held.keys() - self.state.names.keys()):
                if root.startswith("attr:"):
                    modules.reset_attribute(root, self.counters.first)
                    del memory.held[root]
            return self._put_ambient(None)

    def _import(self, missing: list[str]) -> None:
        """Importing may change what other modules do (colour maps, accessors): not only its own names."""
        if not missing:
            return
        path = list(sys.path)
        # Cells may have left the notebook's folder since they imported from it.
        sys.path.insert(1, str(self.root))
        stored = {name: digest for name, digest in self.state.sources.items() if name not in sys.modules}
        finder = StoredModules(stored, self.store.get, self.root)
        for name in missing:
            try:
                with contextlib.ExitStack() as around:
                    around.enter_context(contextlib.redirect_stdout(io.StringIO()))
                    around.enter_context(contextlib.redirect_stderr(io.StringIO()))
                    around.enter_context(finder)
                    importlib.import_module(name)
            except Exception as error:  # noqa: BLE001 - a module may raise anything; it is told
                self.notes.append(f"{name} was imported before and cannot be now ({error})")
        if sys.path == [path[0], str(self.root), *path[1:]]:
            sys.path[:] = path
        else:
            sys.path.remove(str(self.root))

    def _put_ambient(self, keys: tuple[str, ...] | None) -> dict[str, str] | None:
        ambient, state = self.ambient, self.state
        now, settled = ambient.snapshot(keys), True
        # Variables first: the time zone, for one, is made from them.
        for key, value in sorted(state.ambient.items(), key=lambda pair: not pair[0].startswith("env:")):
            if keys is not None and key not in keys:
                continue
            if now.get(key) != value.digest and value.image:
                settled = False
                self._put_item(key, value)
        for key, digest in now.items():
            if key not in state.ambient and not key.startswith("rng:") and not ambient.is_base(key, digest):
                settled = False
                ambient.reset(key)
        return now if settled else None

    def _put_item(self, key: str, value: AmbientValue) -> None:
        try:
            self.ambient.put(key, pickle.loads(self.store.get(value.image)))
        except Exception as error:  # noqa: BLE001 - other platforms refuse in their own ways; it is told
            self.notes.append(f"{key} cannot be set here as it was ({error})")

    def portable(self, path: str) -> str:
        """The name of a path in records."""
        return self.files.key(self.files.path(path))
