"""The table of ambient items (R7): how each is read and put back.

An item's value is plain data where that is possible, so that it travels; what refers to
the notebook's own functions cannot be stored and makes its cell run at every repeat.
"""

from __future__ import annotations

import contextvars
import decimal
import gc
import hashlib
import locale
import logging
import random
import re
import socket
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nbrewind.flow import room


@dataclass(frozen=True, slots=True)
class Item:
    """One ambient item: where it lives, how to read it, how to put it back."""

    key: str
    get: Callable[[], Any]
    put: Callable[[Any], object]
    module: str = ""
    """Module that must be loaded for the item to exist."""
    package: str = ""
    """Package whose users depend on the item; empty: every cell does."""
    random: bool = False
    """Whether drawing from it is what counts as reading it."""
    mark: Callable[[Any], Any] = lambda value: value
    """The part of the value that tells two values apart."""


def _decimal_context() -> decimal.Context:
    """The present context, or what it would be made from: asking makes one, which tasks begun later share."""
    made = any(variable.name == "decimal_context" for variable in contextvars.copy_context())
    return decimal.getcontext() if made else decimal.DefaultContext


def _decimal_get() -> Any:
    context = _decimal_context()
    traps = sorted(signal.__name__ for signal, on in context.traps.items() if on)
    return [
        context.prec,
        context.rounding,
        context.Emin,
        context.Emax,
        context.capitals,
        context.clamp,
        traps,
    ]


def _decimal_put(value: Any) -> None:
    if _decimal_get() == value:
        return
    context = decimal.getcontext()
    context.prec, context.rounding, context.Emin, context.Emax, context.capitals, context.clamp = value[:6]
    for signal in context.traps:
        context.traps[signal] = signal.__name__ in value[6]


def _decimal_flags_get() -> Any:
    return sorted(signal.__name__ for signal, on in _decimal_context().flags.items() if on)


def _decimal_flags_put(value: Any) -> None:
    if _decimal_flags_get() == value:
        return
    flags = decimal.getcontext().flags
    for signal in flags:
        flags[signal] = signal.__name__ in value


def _logging_get() -> Any:
    loggers = {
        name: [logger.level, logger.propagate, logger.disabled]
        for name, logger in sorted(logging.root.manager.loggerDict.items())
        if isinstance(logger, logging.Logger)
        and (logger.level or logger.disabled or not logger.propagate)
        and not name.startswith(ENGINE_LOGGERS)
    }
    return [logging.root.level, logging.root.manager.disable, loggers]


ENGINE_LOGGERS = (
    "distributed",
    "dask",
    "tornado",
    "asyncio",
    "parsl",
    "matplotlib",
    "ipykernel",
    "traitlets",
    "IPKernelApp",
)


def _logging_put(value: Any) -> None:
    logging.root.setLevel(value[0])
    logging.disable(value[1])
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and not name.startswith(ENGINE_LOGGERS):
            logger.level, logger.propagate, logger.disabled = value[2].get(name, (0, True, False))
    for name, state in value[2].items():
        logger = logging.getLogger(name)
        logger.level, logger.propagate, logger.disabled = state
    logging.root.manager._clear_cache()  # type: ignore[attr-defined]


def _warnings_get() -> Any:
    return [
        [action, _pattern(message), _category(category), _pattern(module), line]
        for action, message, category, module, line in warnings.filters
    ]


def _pattern(value: Any) -> Any:
    return [value.pattern, value.flags] if isinstance(value, re.Pattern) else value


def _category(category: Any) -> Any:
    found = getattr(sys.modules.get(category.__module__), category.__qualname__, None)
    ours = category.__module__ == "__main__" or found is not category
    return category if ours else f"{category.__module__}:{category.__qualname__}"


def _warnings_put(value: Any) -> None:
    """Filters of packages that are not imported yet come with their import."""
    filters: list[Any] = []
    for action, message, category, module, line in value:
        owner, _, name = category.partition(":")
        kind = getattr(sys.modules.get(owner), name, None)
        if kind is not None:
            parts = [re.compile(p[0], p[1]) if isinstance(p, list) else p for p in (message, module)]
            filters.append((action, parts[0], kind, parts[1], line))
    warnings.filters[:] = filters  # type: ignore[index]
    warnings._filters_mutated()  # type: ignore[attr-defined]


def _pandas_get() -> Any:
    config = sys.modules["pandas._config.config"]
    return dict(_flat(config._global_config))


def _flat(tree: Any, prefix: str = "") -> list[tuple[str, Any]]:
    found = []
    for key, value in tree.items():
        name = f"{prefix}{key}"
        found += _flat(value, name + ".") if isinstance(value, dict) else [(name, value)]
    return found


def _pandas_put(value: Any) -> None:
    pandas = sys.modules["pandas"]
    for name, wanted in value.items():
        if pandas.get_option(name) != wanted:
            pandas.set_option(name, wanted)


def _rc_get() -> Any:
    matplotlib = sys.modules["matplotlib"]
    params = matplotlib.rcParams
    names = [name for name in dict.keys(params) if name != "backend"]
    return {name: repr(dict.__getitem__(params, name)) for name in sorted(names)}, {
        name: dict.__getitem__(params, name) for name in names
    }


def _rc_put(value: Any) -> None:
    matplotlib = sys.modules["matplotlib"]
    dict.update(matplotlib.rcParams, value[1])


def _backend_get() -> Any:
    return str(dict.__getitem__(sys.modules["matplotlib"].rcParams, "backend"))


def _backend_put(value: Any) -> None:
    if _backend_get() != value:
        sys.modules["matplotlib"].use(value)


def _np_random_get() -> Any:
    state = sys.modules["numpy.random"].get_state(legacy=True)
    return [state[0], state[1].tobytes(), int(state[2]), int(state[3]), float(state[4])]


def _np_random_put(value: Any) -> None:
    numpy = sys.modules["numpy"]
    state = (value[0], numpy.frombuffer(value[1], dtype="u4"), *value[2:])
    shared = sys.modules["numpy.random.mtrand"]._rand
    if shared.get_state(legacy=True)[0] == "MT19937":
        shared.seed(0)  # as any call of `seed` it forgets the sequence that the process began with
    sys.modules["numpy.random"].set_state(state)


def _torch_random_get() -> Any:
    return sys.modules["torch"].get_rng_state().numpy().tobytes()


def _torch_random_put(value: Any) -> None:
    torch = sys.modules["torch"]
    torch.set_rng_state(torch.frombuffer(bytearray(value), dtype=torch.uint8))


def _np_print_get() -> Any:
    return dict(sys.modules["numpy"].get_printoptions())


def _gc_get() -> Any:
    return [gc.isenabled(), list(gc.get_threshold())]


def _gc_put(value: Any) -> None:
    (gc.enable if value[0] else gc.disable)()
    gc.set_threshold(*value[1])


_ARGUMENTS = list(sys.argv)
"""Those with which this kernel was started: no other process has the same."""
_ALL, _FIRST = "\0", "\1"
"""In a stored ``sys.argv``: these, and the first of them."""


def _arguments_get() -> Any:
    now, start = list(sys.argv), _ARGUMENTS
    if now[: len(start)] == start:
        return [_ALL, *now[len(start) :]]
    return [_FIRST, *now[1:]] if now[:1] == start[:1] else now


def _arguments_put(value: Any) -> None:
    marks = {_ALL: _ARGUMENTS, _FIRST: _ARGUMENTS[:1]}
    sys.argv[:] = [*marks.get(value[0], value[:1]), *value[1:]] if value else []


def _sklearn_get() -> Any:
    return sys.modules["sklearn"].get_config()


def _sklearn_put(value: Any) -> None:
    sys.modules["sklearn"].set_config(**{k: v for k, v in value.items() if _sklearn_get().get(k, v) != v})


def _xarray_get() -> Any:
    return dict(sys.modules["xarray"].get_options())


def _xarray_put(value: Any) -> None:
    sys.modules["xarray"].set_options(**{k: v for k, v in value.items() if _xarray_get().get(k, v) != v})


_POLARS = ("float_fmt", "float_precision", "thousands_separator", "decimal_separator", "trim_decimal_zeros")
"""How polars shows numbers, kept in its compiled part; the rest of its settings are variables."""


def _polars_get() -> Any:
    kept = sys.modules["polars._plr"]
    return {name: getattr(kept, f"get_{name}")() for name in _POLARS if hasattr(kept, f"get_{name}")}


def _polars_put(value: Any) -> None:
    kept, now = sys.modules["polars._plr"], _polars_get()
    for name, held in value.items():
        if name in now and now[name] != held:
            getattr(kept, f"set_{name}")(None if held == "" else held)


def _colours_get() -> Any:
    """Colour maps that matplotlib has not itself."""
    registry = sys.modules["matplotlib"].colormaps
    return {name: registry._cmaps[name] for name in registry if name not in registry._builtin_cmaps}


_TABLES: dict[int, tuple[Any, bytes]] = {}
"""Colour maps by address, with their colours: registered ones do not change."""


def _colours_mark(value: Any) -> Any:
    found = {}
    for name, colours in value.items():
        known = _TABLES.get(id(colours))
        if known is None or known[0] is not colours:
            raw = colours(range(colours.N)).tobytes() + repr(colours.get_bad()).encode()
            known = _TABLES[id(colours)] = colours, hashlib.blake2b(raw, digest_size=16).digest()
        found[name] = known[1]
    return found


def _colours_put(value: Any) -> None:
    registry, now = sys.modules["matplotlib"].colormaps, _colours_get()
    for name in now.keys() - value.keys():
        registry.unregister(name)
    for name, colours in value.items():
        if name not in now or _colours_mark({name: now[name]}) != _colours_mark({name: colours}):
            registry.register(colours, name=name, force=True)


def items() -> list[Item]:
    """All items this version knows."""
    return [
        Item("decimal", _decimal_get, _decimal_put),
        Item("decimal.flags", _decimal_flags_get, _decimal_flags_put),
        Item("recursionlimit", room.limit, room.set_limit),
        Item("switchinterval", sys.getswitchinterval, sys.setswitchinterval),
        Item("logging", _logging_get, _logging_put),
        Item("warnings", _warnings_get, _warnings_put),
        Item("gc", _gc_get, _gc_put),
        Item("locale", lambda: locale.setlocale(locale.LC_ALL), lambda v: locale.setlocale(locale.LC_ALL, v)),
        Item("timezone", lambda: [*time.tzname, time.timezone], lambda value: time.tzset()),
        Item("socket.timeout", socket.getdefaulttimeout, socket.setdefaulttimeout),
        Item("sys.argv", _arguments_get, _arguments_put),
        Item("sklearn.config", _sklearn_get, _sklearn_put, "sklearn", "sklearn"),
        Item("polars.numbers", _polars_get, _polars_put, "polars", "polars"),
        Item("xarray.options", _xarray_get, _xarray_put, "xarray", "xarray"),
        Item(
            "matplotlib.colormaps", _colours_get, _colours_put, "matplotlib", "matplotlib", mark=_colours_mark
        ),
        Item("pandas.options", _pandas_get, _pandas_put, "pandas", "pandas"),
        Item("matplotlib.backend", _backend_get, _backend_put, "matplotlib", "matplotlib"),
        Item(
            "matplotlib.rcParams", _rc_get, _rc_put, "matplotlib", "matplotlib", mark=lambda value: value[0]
        ),
        Item(
            "numpy.printoptions",
            _np_print_get,
            lambda v: sys.modules["numpy"].set_printoptions(**v),
            "numpy",
            "numpy",
        ),
        Item(
            "numpy.errstate",
            lambda: sys.modules["numpy"].geterr(),
            lambda v: sys.modules["numpy"].seterr(**v),
            "numpy",
            "numpy",
        ),
        Item("rng:random", random.getstate, random.setstate, random=True),
        Item("rng:numpy", _np_random_get, _np_random_put, "numpy.random", random=True),
        Item("rng:torch", _torch_random_get, _torch_random_put, "torch", random=True),
    ]
