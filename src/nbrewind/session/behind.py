"""The code that runs with a cell: its own, and that of the notebook's functions that it reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import CodeType
from typing import Any

from nbrewind.flow import code as codes
from nbrewind.flow.still import code_of
from nbrewind.model import Root


@dataclass(frozen=True, slots=True)
class Behind:
    """Code objects, that of the cell first."""

    cell: CodeType | None
    functions: tuple[CodeType, ...]

    @classmethod
    def of(cls, cell: CodeType | None, read: Iterable[Root], live: Mapping[Root, Any]) -> Behind:
        """The code of a cell that read these roots."""
        found = (code_of(live.get(root)) for root in read)
        return cls(cell, tuple(code for code in found if code is not None))

    @property
    def all(self) -> tuple[CodeType, ...]:
        """All of it."""
        return self.functions if self.cell is None else (self.cell, *self.functions)

    def names(self) -> frozenset[str]:
        """All names that it mentions, attributes included."""
        return frozenset(name for code in self.all for name in codes.attribute_names(code))

    def stored_attributes(self) -> set[str]:
        """Names of attributes that it may set or delete."""
        return {name for code in self.all for name in codes.stored_attributes(code)}
