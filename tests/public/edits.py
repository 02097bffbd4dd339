"""Random edits of one cell, and which cells they can reach by a static over-approximation."""

from __future__ import annotations

import ast
import random
from collections.abc import Sequence

from IPython.core.inputtransformer2 import TransformerManager

SETTERS = frozenset(
    ("rc", "seed", "use", "update", "set_printoptions", "set_option", "set_options", "set_theme", "set_style")
    + (
        "set_context",
        "set_palette",
        "set_defaults",
        "simplefilter",
        "filterwarnings",
        "register",
        "init_printing",
    )
)
"""Functions of modules that change what later calls of the module do."""


def transformed(source: str) -> str:
    """A cell as Python."""
    return TransformerManager().transform_cell(source)


class _Constants(ast.NodeVisitor):
    def __init__(self) -> None:
        self.found: list[ast.Constant] = []

    def visit_Constant(self, node: ast.Constant) -> None:
        if type(node.value) in (int, float) and node.end_col_offset is not None:
            self.found.append(node)


def change(source: str, dice: random.Random) -> str:
    """The cell with one number changed by a little; where it has none, with one more statement."""
    if not source.lstrip().startswith(("%", "!")):
        try:
            visitor = _Constants()
            visitor.visit(ast.parse(source))
        except SyntaxError:
            visitor.found.clear()
        dice.shuffle(visitor.found)
        for node in visitor.found:
            lines = source.split("\n")
            line = lines[node.lineno - 1]
            if not line.isascii():
                continue
            value = node.value
            assert isinstance(value, int | float)
            new = value + 1 if isinstance(value, int) else round(value * 1.5 + 0.25, 6)
            lines[node.lineno - 1] = f"{line[: node.col_offset]}{new}{line[node.end_col_offset :]}"
            return "\n".join(lines)
    return f"{source}\nedited_{dice.randrange(100)} = {dice.randrange(100)}"


def edit(cells: Sequence[str], dice: random.Random) -> tuple[int, list[str]]:
    """Index of the edited cell, and all cells after the edit."""
    index = dice.randrange(len(cells))
    changed = list(cells)
    changed[index] = change(cells[index], dice)
    return index, changed


def _names(source: str) -> set[str] | None:
    """Names that a cell mentions, None where that cannot be known."""
    try:
        tree = ast.parse(transformed(source))
    except SyntaxError:
        return None
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            if node.name == "*":
                return None
            names.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.update(part for part in node.value.replace("(", " ").split() if part.isidentifier())
    return names


def _imported(cells: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for source in cells:
        try:
            tree = ast.parse(transformed(source))
        except SyntaxError:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return found


def _root(node: ast.expr) -> str:
    """The name that an expression begins with, empty where it does not begin with one."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _sets(source: str, modules: set[str]) -> bool:
    """Whether a cell sets something that an imported module keeps: ``plt.rc(...)``, ``np.random.seed(...)``."""
    try:
        tree = ast.parse(transformed(source))
    except SyntaxError:
        return True
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            call = node.value.func
            name = call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "")
            if name in SETTERS and _root(call) in modules:
                return True
        elif isinstance(node, ast.Assign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(not isinstance(t, ast.Name) and _root(t) in modules for t in targets):
                return True
    return False


def reached(cells: Sequence[str], edited: int) -> set[int]:
    """Cells that the edit of one may reach: they mention a name that a reached cell mentions.

    Far too many on purpose: what lies outside need not run. A cell that sets something in a module reaches all
    cells below it.
    """
    modules = _imported(cells)
    tainted: set[str] | None = set()
    found = set()
    for index in range(edited, len(cells)):
        names = _names(cells[index])
        if index == edited or tainted is None or names is None or names & tainted:
            found.add(index)
            unknown = tainted is None or names is None or _sets(cells[index], modules)
            tainted = None if unknown else tainted | (names - modules)
    return found
