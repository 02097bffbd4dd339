"""Before a cell runs: what has to be in the namespace, and what need not be any more."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Set
from types import CodeType

from nbrewind.flow import code as codes
from nbrewind.flow.still import code_of
from nbrewind.model import State
from nbrewind.plan.match import SUBCLASSES
from nbrewind.session.memory import Memory

_FRAME_LIBRARIES = frozenset(
    {
        "query",
        "eval",
        "sql",
        "execute",
        "formula",
        "ols",
        "from_formula",
        "assign",
        "timeit",
        "run_line_magic",
        "run_cell_magic",
    }
)
"""Attributes whose users look names up in caller frames: strings may hold names then."""

_INPUTS = frozenset({"In", "_ih", "_i", "_ii", "_iii"})
_INPUTS_BY_MAGIC = frozenset(
    {"history", "hist", "save", "rerun", "recall", "rep", "macro", "notebook", "edit", "ed", "pastebin"}
)


def compiled(transformed: str, flags: int) -> CodeType | None:
    """The code of a cell for looking at its names, None if it does not compile."""
    flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        return codes.compiled_apart(transformed, "<cell>", flags)
    return None


def prefault(memory: Memory, code: CodeType) -> None:
    """Move in what the interpreter or a library would look up past the namespace."""
    memory.prefault_code(code)
    names = codes.attribute_names(code)
    wanted: set[str] = set()
    if "exec" in codes.global_names(code):
        # The code in the string may delete: names that are absent now count too.
        wanted |= {word for text in codes.strings(code) if "del" in text for word in _identifiers(text)}
    if names & _FRAME_LIBRARIES:
        words = {word for text in codes.strings(code) for word in _identifiers(text)}
        wanted |= {word for word in words if word in memory.state.names}
    if "run_line_magic" in names and any(text.startswith("reset") for text in codes.strings(code)):
        wanted.update(memory.names())
    for name in sorted(wanted):
        memory.prefault(name)


def sees_inputs(code: CodeType) -> bool:
    """Whether code may look at the texts of the cells before it, which no record tells."""
    names = codes.attribute_names(code)
    if codes.global_names(code) & _INPUTS or "history_manager" in names:
        return True
    return "run_line_magic" in names and not _INPUTS_BY_MAGIC.isdisjoint(codes.strings(code))


def sees_classes(state: State, names: Set[str]) -> bool:
    """Whether code that mentions these names, or functions that it calls, may ask for subclasses (R9)."""
    return "__subclasses__" in names or SUBCLASSES in state.ambient


def load_classes(memory: Memory, code: CodeType) -> None:
    """Make classes exist as they do in a plain run, where a class knows its subclasses, the oldest first.

    All of them for code that may ask; before code that makes a class those that can be had at once.
    """
    asks = sees_classes(memory.state, codes.attribute_names(code))
    if not asks and not any(isinstance(c, CodeType) and codes.is_class_body(c) for c in code.co_consts):
        return
    with memory.own_work():
        for root, version in list(memory.state.names.items()):
            if root.startswith("cls:") and (asks or version.image):
                memory.materialise(root)


def evict(memory: Memory, code: CodeType) -> None:
    """``x = big()`` must not hold the old ``x`` while it runs, if that can be had again where it fails."""
    if not memory.store.settled:
        return
    for name in codes.stored_names(code) - codes.global_names(code):
        version = memory.state.names.get(name)
        if (
            version is None
            or not version.image
            or version.links
            or version.finaliser
            or name not in memory.live
        ):
            continue
        if memory.is_live(name) and not _loaded_by_functions(memory, name):
            del memory.live[name]
            memory.held.pop(name, None)


def _loaded_by_functions(memory: Memory, name: str) -> bool:
    functions = (code_of(value) for value in memory.live.values())
    return any(code is not None and name in codes.global_names(code) for code in functions)


def _identifiers(text: str) -> list[str]:
    word, found = "", []
    for letter in text + " ":
        if letter.isidentifier() or (word and letter.isalnum()):
            word += letter
        elif word:
            found.append(word)
            word = ""
    return found
