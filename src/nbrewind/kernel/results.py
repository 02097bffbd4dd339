"""``_``, ``_N`` and ``Out``: displayed results as roots of the state (R14)."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any

from nbrewind.plan.algebra import BESIDE, own_results
from nbrewind.session.memory import Memory


class LazyResults(dict[int, Any]):
    """``Out``: holds nothing itself; each value is the ``_N`` of the namespace."""

    def __init__(self, memory: Memory) -> None:
        super().__init__()
        self._memory = memory

    def _numbers(self) -> list[int]:
        self._memory.look_at_results()
        live = [int(n[1:]) for n in self._memory.namespace.live_names() if n[:1] == "_" and n[1:].isdigit()]
        return sorted(n for n in {*self._memory.state.results, *live} if n < BESIDE)

    def __missing__(self, number: int) -> Any:
        if number not in self._numbers():
            raise KeyError(number)
        return self._memory.namespace[f"_{number}"]

    def get(self, number: int, default: Any = None) -> Any:
        try:
            return self[number]
        except KeyError:
            return default

    def __contains__(self, number: object) -> bool:
        return number in self._numbers()

    def __iter__(self) -> Iterator[int]:
        return iter(self._numbers())

    def __len__(self) -> int:
        return len(self._numbers())

    def keys(self) -> Any:
        return dict.fromkeys(self._numbers()).keys()

    def values(self) -> Any:
        return [self[number] for number in self._numbers()]

    def items(self) -> Any:
        return [(number, self[number]) for number in self._numbers()]

    def __setitem__(self, number: int, value: Any) -> None:
        """IPython stores results here; the namespace has them already."""

    def __repr__(self) -> str:
        return repr(dict(self.items()))


def reset_with_care(shell: Any, memory: Memory) -> None:
    """Let ``%reset`` find what is parked, and keep our own names where it puts IPython's."""
    original = shell.reset

    def reset(*args: Any, **kwargs: Any) -> None:
        for name in memory.names():
            memory.prefault(name)
        original(*args, **kwargs)
        dict.update(memory.namespace, memory.pinned)
        hidden = shell.user_ns_hidden
        hidden.update({name: value for name, value in memory.pinned.items() if name in hidden})

    shell.reset = reset


def remember_result(shell: Any, memory: Memory) -> None:
    """Let the display hook store ``_N`` only; what ``_``, ``__`` and ``___`` mean is looked up."""

    def update_user_ns(hook: Any, result: Any) -> None:
        memory.displayed(hook.prompt_count)
        bind_result(shell, result, hook.prompt_count)

    shell.displayhook.update_user_ns = types.MethodType(update_user_ns, shell.displayhook)


def bind_result(shell: Any, result: Any, count: int) -> None:
    """Bind ``_N`` of the cell with this execution count to what it displayed."""
    space = shell.user_ns
    if result is space["_oh"]:
        return
    older, newer, own = own_results(count)
    if dict.__contains__(space, own):
        # A cell that displays several results: `__` and `___` reach back to two of them.
        if dict.__contains__(space, newer):
            space[older] = space[newer]
        space[newer if dict.__contains__(space, older) else older] = space[own]
    space[own] = result
