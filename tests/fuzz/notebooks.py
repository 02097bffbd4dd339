"""Fuzzed notebooks and edits: statements of the grammar put together, names filled in.

All choices are asked of a ``Dice``, so that Hypothesis can make and shrink them, and a plain random generator
can make the notebook of a number again.
"""

from __future__ import annotations

import json
import random
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from fuzz.grammar import FILES, HOLE, KINDS, MODULES, NAMES, OUTPUTS, SECTIONS, STATEMENTS, WORDS, WRAPPERS
from fuzz.kernels import Cell

_DRAWS = {
    "random": re.compile(r"(?<!np\.)\brandom\.(randint|sample|shuffle|choice|random\(\)|getstate)"),
    "numpy": re.compile(r"\bnp\.random\.(rand|randint)\b"),
}
_SEEDS = {"random": "random.seed({})", "numpy": "np.random.seed({})"}


class Dice(Protocol):
    """Where choices come from."""

    def roll(self, sides: int) -> int:
        """A number from 0 to ``sides - 1``; smaller ones are simpler."""
        ...


class Chance:
    """A dice with a seed."""

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(seed)

    def roll(self, sides: int) -> int:
        """See ``Dice``."""
        return self._random.randrange(sides)


NO_PROBE = Cell("probe", "")


@dataclass(frozen=True)
class Fuzzed:
    """One notebook, its edit, and the world of both."""

    cells: Sequence[Cell]
    edited: Sequence[Cell]
    files: Mapping[str, str | None] = field(default_factory=dict)
    """Files that the edit changes: new content, None for a file that goes."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables that the edit sets."""
    probe: Cell = NO_PROBE
    middle: int = 0
    """The probe runs after so many cells."""
    cold: bool = False
    """Whether NumPy and pandas are imported by the kernels themselves."""

    def text(self) -> str:
        """Python that makes it again."""
        lines = ["Fuzzed("]
        for name in ("cells", "edited"):
            lines += [
                f"    {name}=[",
                *(f"        Cell({c.id!r}, {c.source!r})," for c in getattr(self, name)),
                "    ],",
            ]
        for name in ("files", "env", "probe", "middle", "cold"):
            value = getattr(self, name)
            if value != Fuzzed.__dataclass_fields__[name].default and value != {}:
                lines.append(f"    {name}={value!r},")
        return "\n".join([*lines, ")"])

    @property
    def sources(self) -> str:
        """All text, to look for words in."""
        return "\n".join(c.source for c in (*self.cells, *self.edited, self.probe))

    @property
    def libraries(self) -> bool:
        """Whether any cell uses NumPy or pandas."""
        return re.search(r"\b(np|pd)\b", self.sources) is not None

    def seeded(self, cells: Sequence[Cell]) -> tuple[str, ...]:
        """Generators that the first cell seeds."""
        first = cells[0].source if cells else ""
        return tuple(
            name
            for name, seed in _SEEDS.items()
            if re.search(r"^" + re.escape(seed.format("")[:-1]), first, re.M)
        )

    def drawn(self, cells: Sequence[Cell]) -> bool:
        """Whether a cell draws from a generator that the first cell does not seed."""
        text = "\n".join(c.source for c in cells)
        return any(p.search(text) for name, p in _DRAWS.items() if name not in self.seeded(cells))


class Scope:
    """Names and what the generator believes that they hold."""

    def __init__(self, dice: Dice, kinds: Mapping[str, str] | None = None) -> None:
        self.dice = dice
        self.kinds = dict(kinds or {})

    def missing(self, template: str) -> list[str]:
        """Kinds that a statement needs and nothing holds."""
        needed = [h.group(1)[0] if h.group(1)[0] not in "=-" else "" for h in HOLE.finditer(template)]
        wanted = dict.fromkeys(k for k in needed if k and k in KINDS and k not in self.kinds.values())
        if not self.kinds and re.search(r"<-?X", template):
            wanted["N"] = None
        return list(wanted)

    def fill(self, template: str) -> str:
        """The statement with its holes filled; its names are in scope afterwards."""
        known: dict[str, str] = {}
        gains: dict[str, str] = {}
        losses: set[str] = set()

        def one(match: re.Match[str]) -> str:
            hole = match.group(1)
            bare = hole.lstrip("=-")
            if bare in known and (not hole.startswith("=") or bare != "@"):
                return known[bare]
            if hole.startswith("=") or (hole == "=@"):
                name = self._new_name()
                gains[name] = known.get("X-kind", "N") if bare == "@" else bare[0]
                known.setdefault(bare, name)
                return name
            value = self._existing(bare, known)
            if hole.startswith("-"):
                losses.add(value)
            known[bare] = value
            return value

        # What exists is chosen first: `<=@> = <X>` binds what it reads.
        for match in HOLE.finditer(template):
            hole = match.group(1)
            if hole[0] not in "=" and hole not in known and f"<={hole}>" not in template:
                one(match)
        text = HOLE.sub(one, template)
        self.kinds.update(gains)
        for name in losses:
            self.kinds.pop(name, None)
        return text

    def _existing(self, bare: str, known: dict[str, str]) -> str:
        roll = self.dice.roll
        letter = bare[0]
        if letter == "k":
            return str(roll(10))
        if letter == "s":
            return WORDS[roll(len(WORDS))]
        if letter == "p":
            return OUTPUTS[roll(len(OUTPUTS))]
        # Names bound last come first: cells of a notebook mostly use what is new.
        names = [n for n, kind in self.kinds.items() if letter == "X" or kind == letter][::-1]
        if not names:
            return NAMES[roll(len(NAMES))]
        name = names[min(roll(len(names)), roll(len(names)))]
        if bare == "X":
            known["X-kind"] = self.kinds[name]
        return name

    def _new_name(self) -> str:
        roll = self.dice.roll
        free = [n for n in NAMES if n not in self.kinds]
        if free and roll(3) != 2:
            return free[0]
        return NAMES[roll(len(NAMES))]


_KEEPERS = (
    "kept = {0}",
    "kept = ({0}, [{0}])",
    "kept = {{'k': {0}}}",
    "def kept(v={0}):\n    return v",
    "class Kept:\n    held = {0}",
    "kept = (v for v in [{0}])",
    "kept = lambda: {0}",
    "{0}",
)
"""Cells that give a value another name."""


class Author:
    """Writes one notebook and its edit."""

    def __init__(self, dice: Dice) -> None:
        self.dice = dice
        self.scope = Scope(dice)
        self.cells: list[str] = []
        self.scopes: list[dict[str, str]] = []
        sections = list(SECTIONS.values())
        self.theme = [sections[dice.roll(len(sections))] for _ in range(2)]

    # -- cells -------------------------------------------------------------------------------------
    def statement(self) -> str:
        """One filled statement; what it needs and is not there becomes cells of its own."""
        for _ in range(4):
            from_ = STATEMENTS if self.dice.roll(4) == 3 else self.theme[self.dice.roll(len(self.theme))]
            template = from_[self.dice.roll(len(from_))]
            if not self.scope.missing(template):
                break
        for kind in self.scope.missing(template):
            self.finish(self.scope.fill(KINDS[kind]))
        return self.scope.fill(template)

    def cell(self) -> str:
        """One cell of one to three statements."""
        roll = self.dice.roll
        count = (1, 1, 1, 2, 2, 3)[roll(6)]
        body = "\n".join(self.statement() for _ in range(count))
        if roll(7) == 6:
            template = WRAPPERS[roll(len(WRAPPERS))]
            for kind in self.scope.missing(template):
                self.finish(self.scope.fill(KINDS[kind]))
            body = wrapped(self.scope.fill(template), body)
        return body

    def finish(self, text: str) -> None:
        """Takes a cell into the notebook."""
        self.cells.append(text)
        self.scopes.append(dict(self.scope.kinds))

    def write(self) -> Fuzzed:
        """The notebook with its edit."""
        roll = self.dice.roll
        for _ in range(2 + roll(8)):
            self.finish(self.cell())
            if roll(12) == 11:
                self.finish(self.cells[roll(len(self.cells))])
        sources = list(self.cells)
        apart = roll(4) == 3
        seeds = [roll(8) != 7 for _ in _SEEDS]
        middle = roll(len(sources)) + 1
        self.scope = Scope(self.dice, self.scopes[middle - 1])
        probe = self.cell()
        first = self._first([*sources, probe], apart, seeds)
        cells = [Cell(f"c{i}", imports(s) if apart else s) for i, s in enumerate([first, *sources])]
        edited, files, env = self.edit(cells, apart)
        probe_cell = Cell("probe", imports(probe) if apart else probe)
        # Where the kernel itself imports NumPy, its generator starts from entropy.
        drawn = _DRAWS["numpy"].search("\n".join(sources)) is not None
        return Fuzzed(cells, edited, files, env, probe_cell, middle + 1, roll(10) == 9 and not drawn)

    def _first(self, sources: Sequence[str], apart: bool, seeds: Sequence[bool]) -> str:
        text = "\n".join(sources)
        lines = [] if apart else [imports(text).removesuffix(text).strip("\n")]
        for (name, seed), wanted in zip(_SEEDS.items(), seeds, strict=True):
            if wanted and _DRAWS[name].search(text):
                lines.append(seed.format(self.dice.roll(10)))
        return "\n".join(line for line in lines if line)

    # -- edits -------------------------------------------------------------------------------------
    def edit(
        self, cells: Sequence[Cell], apart: bool
    ) -> tuple[list[Cell], dict[str, str | None], dict[str, str]]:
        """One or two edits of cells or of the world."""
        edited, files, env = list(cells), dict[str, str | None](), dict[str, str]()
        for number in range(1 + (self.dice.roll(4) == 3)):
            self._edit_once(edited, files, env, number, apart)
        return edited, files, env

    def _edit_once(
        self, edited: list[Cell], files: dict[str, str | None], env: dict[str, str], number: int, apart: bool
    ) -> None:
        roll = self.dice.roll
        kind = roll(14)
        where = 1 + roll(len(edited) - 1) if len(edited) > 1 else 0
        cell = edited[where]
        if kind in (0, 1, 2, 3):
            edited[where] = replace(cell, source=changed_constant(cell.source, self.dice))
        elif kind in (4, 5):
            edited[where] = replace(cell, source=self._new(where, apart))
        elif kind in (6, 7):
            edited.insert(where, Cell(f"n{number}", self._new(where, apart)))
        elif kind == 8:
            del edited[where]
        elif kind == 9:
            edited.insert(1 + roll(len(edited) - 1) if len(edited) > 1 else 0, edited.pop(where))
        elif kind == 10:
            edited.insert(where, Cell(f"n{number}", cell.source))
        elif kind in (11, 12):
            edited.insert(where, Cell(f"n{number}", self._another_name(where)))
        else:
            self._edit_world(files, env)

    def _another_name(self, where: int) -> str:
        """What later cells change, or give up, is kept where they do not see it."""
        known = sorted(self.scopes[self._before(where)])
        name = known[self.dice.roll(len(known))] if known else "None"
        return _KEEPERS[self.dice.roll(len(_KEEPERS))].format(name)

    def _before(self, where: int) -> int:
        """The last cell of the notebook as written that surely stands before a place in its edit."""
        return min(max(where - 2, 0), len(self.scopes) - 1)

    def _new(self, where: int, apart: bool) -> str:
        at = self._before(where)
        keep, self.scope = self.scope, Scope(self.dice, self.scopes[at])
        kept_cells, kept_scopes = list(self.cells), list(self.scopes)
        text = self.cell()
        # What the new cell needs and nobody has yet comes with it.
        text = "\n".join([*self.cells[len(kept_cells) :], text])
        self.cells, self.scopes, self.scope = kept_cells, kept_scopes, keep
        return imports(text)

    def _edit_world(self, files: dict[str, str | None], env: dict[str, str]) -> None:
        roll = self.dice.roll
        value = roll(10)
        changes: tuple[tuple[str, str | None], ...] = (
            ("in.csv", f"x,y\n1,{value}\n9,4\n"),
            ("data.txt", f"alpha\ndelta{value}\n"),
            ("conf.json", json.dumps({"lr": value, "deep": {"k": [value]}})),
            ("helper.py", FILES["helper.py"].replace("SCALE = 2", f"SCALE = 3{value}")),
            ("helper.py", FILES["helper.py"].replace("v * SCALE", f"v * SCALE + {value}")),
            ("sub/x.txt", f"8{value}\n"),
            ("sub/x.txt", None),
            ("new.txt", f"new{value}\n"),
            ("out.txt", f"by hand{value}\n"),
        )
        which = roll(len(changes) + 2)
        if which < len(changes):
            files[changes[which][0]] = changes[which][1]
        else:
            env["FUZZ_A" if which == len(changes) else "FUZZ_B"] = f"set{value}"


def wrapped(template: str, body: str) -> str:
    """The body inside a wrapper, or as it is where that would be no Python."""
    if "%" in body or "!" in body or "await" in body or not body.strip():
        return body
    if template.startswith("%%"):
        # Under a magic IPython warns of its own coroutine, whenever the collector finds it.
        return body if re.search(r"\basync\b", body) else template.replace("{}", body)
    indented = textwrap.indent(body, "    ")
    if "{global}" in template:
        try:
            names = bound_names(body)
        except SyntaxError:
            return body
        template = template.replace("{global}", f"    global {', '.join(names)}\n" if names else "")
    text = template.replace("{4}", indented).replace("{repr}", repr(body)).replace("{}", body)
    try:
        compile(text, "<cell>", "exec", dont_inherit=True)
    except SyntaxError:
        return body
    return text


def bound_names(body: str) -> list[str]:
    """Names that a body binds or deletes at its top level."""
    import dis

    code = compile(body, "<cell>", "exec", dont_inherit=True)
    found = [i.argval for i in dis.get_instructions(code) if i.opname in ("STORE_NAME", "DELETE_NAME")]
    return list(dict.fromkeys(n for n in found if not n.startswith("__")))


def imports(text: str) -> str:
    """The text with the imports that it needs before it."""
    plain = re.sub(r"'[^'\n]*'", "''", text)
    lines = [
        line for name, line in MODULES.items() if re.search(rf"(?<!\.)\b{name}\b", plain) and line not in text
    ]
    if not lines:
        return text
    if text.startswith("%%"):
        head, _, rest = text.partition("\n")
        return text if head.startswith("%%bash") else "\n".join([head, *lines, rest])
    return "\n".join([*lines, text])


def changed_constant(source: str, dice: Dice) -> str:
    """The source with one of its small numbers changed, or with one more statement where it has none."""
    spots = list(re.finditer(r"(?<![\w.'])\d(?![\w.'])", source))
    if source.startswith("%%bash") or not spots:
        return f"{source}\nedited = {dice.roll(10)}"
    spot = spots[dice.roll(len(spots))]
    new = (int(spot.group()) + 1 + dice.roll(9)) % 10
    return source[: spot.start()] + str(new) + source[spot.end() :]
