"""Which names a piece of top-level code reads before it binds them itself.

A small flow analysis over the syntax tree: a name counts as bound where every way through the code has
bound it.  What is not understood binds nothing, which makes a read more, never one less.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

Names = frozenset[str]
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Flow:
    """Walks statements in order; ``reads`` and ``seen`` are its result."""

    def __init__(self, *, bodies: bool = True) -> None:
        self.bodies = bodies
        """Whether functions may be called, so that what stands in their bodies counts."""
        self.reads: set[str] = set()
        """Names that are loaded where they may not be bound yet."""
        self.seen: set[str] = set()
        """All names that stand in the code."""

    def block(self, statements: Iterable[ast.stmt], bound: Names) -> Names:
        """What is bound after these statements, given what was bound before them."""
        for statement in statements:
            bound = self._statement(statement, bound)
        return bound

    def _pass(self, node: ast.AST) -> None:
        """Names in code that does not run here."""
        self.seen.update(inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name))

    def _load(self, node: ast.AST | None, bound: Names) -> None:
        """All names in an expression, in any scope inside it."""
        if node is None:
            return
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name):
                self.seen.add(inner.id)
                if inner.id not in bound and not isinstance(inner.ctx, ast.Store):
                    self.reads.add(inner.id)

    def _statement(self, node: ast.stmt, bound: Names) -> Names:
        if isinstance(node, ast.Assign):
            self._load(node.value, bound)
            for target in node.targets:
                bound = self._target(target, bound)
            return bound
        if isinstance(node, ast.AnnAssign):
            self._load(node.annotation, bound)
            self._load(node.value, bound)
            return self._target(node.target, bound) if node.value is not None else bound
        if isinstance(node, ast.AugAssign):
            self._load(node.value, bound)
            if isinstance(node.target, ast.Name):
                self.seen.add(node.target.id)
                self.reads |= {node.target.id} - bound
            return self._target(node.target, bound)
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.asname or alias.name.partition(".")[0] for alias in node.names}
            self.seen |= names
            return bound | (names - {"*"})
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            return self._definition(node, bound)
        if isinstance(node, ast.Delete):
            self._load(node, bound)
            return bound - {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
        return self._compound(node, bound)

    def _compound(self, node: ast.stmt, bound: Names) -> Names:
        if isinstance(node, ast.If):
            self._load(node.test, bound)
            return self.block(node.body, bound) & self.block(node.orelse, bound)
        if isinstance(node, ast.For | ast.AsyncFor):
            self._load(node.iter, bound)
            self.block(node.body, self._target(node.target, bound))
            self.block(node.orelse, bound)
            return self._kept(node, bound)
        if isinstance(node, ast.While):
            self._load(node.test, bound)
            self.block(node.body, bound)
            self.block(node.orelse, bound)
            return self._kept(node, bound)
        if isinstance(node, ast.With | ast.AsyncWith):
            inside = bound
            for item in node.items:
                self._load(item.context_expr, inside)
                if item.optional_vars is not None:
                    inside = self._target(item.optional_vars, inside)
            self.block(node.body, inside)
            return self._kept(node, bound)  # a manager may swallow what its body raised
        if isinstance(node, ast.Try | ast.TryStar):
            after = self._kept(node, bound)
            self.block(node.orelse, self.block(node.body, bound))
            for handler in node.handlers:
                self._load(handler.type, bound)
                self.block(handler.body, after | ({handler.name} if handler.name else set()))
            self.block(node.finalbody, after)
            return after
        self._load(node, bound)
        return self._kept(node, bound)

    @staticmethod
    def _kept(node: ast.stmt, bound: Names) -> Names:
        """What stays bound where parts of a statement may have run or not: ``del`` takes away."""
        gone = {
            inner.id
            for inner in ast.walk(node)
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Del)
        }
        # The name of a handler is taken away at its end.
        gone |= {h.name for h in ast.walk(node) if isinstance(h, ast.ExceptHandler) and h.name}
        return bound - gone

    def _target(self, node: ast.expr, bound: Names) -> Names:
        if isinstance(node, ast.Name):
            self.seen.add(node.id)
            return bound | {node.id}
        if isinstance(node, ast.Tuple | ast.List):
            for element in node.elts:
                bound = self._target(element, bound)
            return bound
        if isinstance(node, ast.Starred):
            return self._target(node.value, bound)
        self._load(node, bound)
        return bound

    def _definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, bound: Names) -> Names:
        self.seen.add(node.name)
        for decorator in node.decorator_list:
            self._load(decorator, bound)
        if isinstance(node, ast.ClassDef):
            for part in (*node.bases, *node.keywords):
                self._load(part, bound)
            for inner in node.body:
                if self.bodies or not isinstance(inner, _FUNCTIONS):
                    self._load(inner, bound)
                else:
                    self._definition(inner, bound)
        else:
            self._load(node.args, bound)
            self._load(node.returns, bound)
            for inner in node.body:
                if self.bodies:
                    self._load(inner, bound)
                else:
                    self._pass(inner)
        return bound | {node.name}


def calls_nothing(body: Sequence[ast.stmt]) -> bool:
    """Whether statements only define, import and name: no code of the notebook runs inside them."""
    return all(_defines(statement) for statement in body)


def _defines(node: ast.stmt) -> bool:
    if isinstance(node, _FUNCTIONS):
        arguments = node.args
        parts = [*arguments.defaults, *(d for d in arguments.kw_defaults if d is not None)]
        marks = [a.annotation for a in ast.walk(arguments) if isinstance(a, ast.arg)]
        parts += [mark for mark in (*marks, node.returns) if mark is not None]
        return not node.decorator_list and all(_simple(part) for part in parts)
    if isinstance(node, ast.ClassDef):
        plain = not (node.bases or node.keywords or node.decorator_list)
        return plain and calls_nothing(node.body)
    if isinstance(node, ast.Assign):
        return _simple(node.value) and all(_names(target) for target in node.targets)
    if isinstance(node, ast.AnnAssign):
        value = node.value is None or _simple(node.value)
        return value and _simple(node.annotation) and isinstance(node.target, ast.Name)
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.ImportFrom):
        return all(alias.name != "*" for alias in node.names)
    return isinstance(node, ast.Import | ast.Pass)


def _names(target: ast.expr) -> bool:
    if isinstance(target, ast.Tuple | ast.List):
        return all(isinstance(element, ast.Name) for element in target.elts)
    return isinstance(target, ast.Name)


def _simple(node: ast.expr) -> bool:
    if isinstance(node, ast.Tuple | ast.List):
        return all(_simple(element) for element in node.elts)
    if isinstance(node, ast.Dict):
        # Keys are hashed: those of the notebook's classes by code of the notebook.
        keys = all(isinstance(key, ast.Constant) for key in node.keys)
        return keys and all(_simple(value) for value in node.values)
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.operand, ast.Constant)
    return isinstance(node, ast.Constant | ast.Name)
