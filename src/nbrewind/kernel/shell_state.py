"""State that lives in IPython's shell: its configuration, and what cells register with it (R7)."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from typing import Any

from IPython.core.alias import Alias
from traitlets.config import Config

from nbrewind.flow.hidden import HIDDEN
from nbrewind.flow.items import Item
from nbrewind.plan.match import EVERY_CELL
from nbrewind.session.process import Process

_PLAIN = (bool, int, float, str, type(None), list, tuple, dict, set)
_INLINE = ("figure_formats", "print_figure_kwargs", "close_figures", "rc")


def watch(shell: Any, process: Process) -> None:
    """Make the shell's state part of the notebook's."""
    for item in (_config_item(shell), _inline_item(shell)):
        process.ambient.add(item)
    process.hidden.probes.update(
        {
            "IPython magics": _Magics(shell),
            EVERY_CELL.removeprefix(HIDDEN): lambda: _callbacks(shell),
            "display formatters": lambda: _printers(shell),
            "input transformers": lambda: _transformers(shell),
            "exception handlers": lambda: shell.custom_exceptions,
        }
    )
    objects = {"stdout": sys.stdout, "stderr": sys.stderr, "shell": shell, "kernel": shell.kernel}
    process.own_objects.update(objects)
    for kind in {type(obj) for obj in objects.values()}:
        process.memory.world.handle_types[kind] = OwnObject(objects)


class OwnObject:
    """Tells the objects that every kernel has one of: values refer to this process's own (R4)."""

    def __init__(self, objects: dict[str, Any]) -> None:
        self._names = {id(obj): name for name, obj in objects.items()}

    def __call__(self, obj: Any) -> tuple[str, Any] | None:
        """``(kind, recipe)`` of such an object, None of any other."""
        name = self.version(obj)
        return None if name is None else ("process.object", name)

    def version(self, obj: Any) -> str | None:
        """What identifies it in every process."""
        return self._names.get(id(obj))


# -- configuration -------------------------------------------------------------------------------


def _config_item(shell: Any) -> Item:
    """Traits that differ from those at start: ``%config``, ``%precision``, ``ast_node_interactivity``."""
    formatters = shell.display_formatter.formatters.values()
    owners = {type(owner).__name__: owner for owner in (shell, shell.display_formatter, *formatters)}
    traits = {name: tuple(owner.trait_names(config=True)) for name, owner in owners.items()}

    def values() -> dict[str, dict[str, Any]]:
        # A class attribute may stand where the trait was, so the instance is asked by name.
        found = {
            name: {t: v for t in traits[name] if isinstance(v := getattr(owner, t, None), _PLAIN)}
            for name, owner in owners.items()
        }
        for name, section in shell.config.items():
            found["config." + name] = {t: v for t, v in section.items() if isinstance(v, _PLAIN)}
        return found

    start = values()

    def get() -> Any:
        return {
            name: changed
            for name, found in values().items()
            if (changed := {t: v for t, v in found.items() if start.get(name, {}).get(t) != v})
        }

    def put(wanted: Any) -> None:
        for name, found in get().items():
            for trait in found if name in owners else ():
                setattr(owners[name], trait, start[name].get(trait))
        for name, found in wanted.items():
            if name not in owners:
                # For what is made later, as `%config` leaves it: the inline backend, for one.
                shell.update_config(Config({name.removeprefix("config."): found}))
                continue
            for trait, value in found.items():
                setattr(owners[name], trait, value)

    return Item("ipython.config", get, put)


def _inline_item(shell: Any) -> Item:
    """How figures are shown: ``%config InlineBackend.figure_format``."""

    def get() -> Any:
        backend = sys.modules["matplotlib_inline.config"].InlineBackend
        if not backend.initialized():
            defaults = backend.class_traits()
            return {name: _plain(defaults[name].default()) for name in _INLINE}
        found = backend.instance()
        return {name: _plain(getattr(found, name)) for name in _INLINE}

    def put(wanted: Any) -> None:
        backend = sys.modules["matplotlib_inline.config"].InlineBackend.instance(parent=shell)
        if backend not in shell.configurables:
            shell.configurables.append(backend)
        for name, value in wanted.items():
            new = set(value) if name == "figure_formats" else value
            if getattr(backend, name) != new:
                setattr(backend, name, new)

    return Item("matplotlib.inline", get, put, "matplotlib_inline.config", "matplotlib")


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, set) else dict(value) if isinstance(value, dict) else value


# -- registrations -------------------------------------------------------------------------------


def _is_ours(function: Any) -> bool:
    return getattr(function, "__module__", None) == "__main__"


class _Magics:
    """Those of the notebook and of extensions; IPython registers its own as they are first used."""

    def __init__(self, shell: Any) -> None:
        self._manager = shell.magics_manager
        self._seen: list[Any] = []
        self._found: list[Any] = []

    def __call__(self) -> list[Any]:
        # There are more than a hundred, and hardly ever another: the same objects are not looked at again.
        registered = self._manager.magics
        tables = [(kind, *table, *table.values()) for kind, table in registered.items()]
        if not _same(tables, self._seen):
            self._seen = tables
            self._found = [
                (kind, name, function)
                for kind, table in registered.items()
                for name, function in table.items()
                if isinstance(function, Alias) or not _is_builtin(function)
            ]
        return self._found


def _same(some: list[Any], others: list[Any]) -> bool:
    return [*map(len, some)] == [*map(len, others)] and all(
        all(map(operator.is_, one, other)) for one, other in zip(some, others, strict=True)
    )


def _is_builtin(function: Any) -> bool:
    module = str(getattr(function, "__module__", ""))
    return module.startswith(("IPython.core.", "ipykernel."))


def _callbacks(shell: Any) -> list[Any]:
    return [one for listed in shell.events.callbacks.values() for one in listed if _is_ours(one)]


def _printers(shell: Any) -> list[Any]:
    found = []
    for name, formatter in shell.display_formatter.formatters.items():
        for table in (formatter.type_printers, formatter.deferred_printers, formatter.singleton_printers):
            found += [(name, key, printer) for key, printer in table.items() if _is_ours(printer)]
    return found


def _transformers(shell: Any) -> list[Any]:
    manager = shell.input_transformer_manager
    lists: list[list[Callable[..., Any]]] = [
        shell.ast_transformers,
        manager.cleanup_transforms,
        manager.line_transforms,
        shell.input_transformers_post,
    ]
    return [list(one) for one in lists]
