"""Code in other clothes: magics, shell lines, ``eval`` of a literal, as the plain statements that they run.

``Plain`` rewrites a syntax tree so that the analysis sees the names in them.  Magics that are known to leave
the namespace alone vanish; those that it does not know stay, which is a reason for doubt.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


_HARMLESS = words(
    "matplotlib config pip conda uv mamba cd pwd env set_env precision colors xmode autosave rewind audit "
    "bash sh script system sx html HTML svg SVG javascript js latex markdown writefile ls mkdir cat rm cp mv"
)
"""Magics that touch no names but those that ``$name`` and ``{name}`` in their line give them."""
_RUN = frozenset({"time", "capture"})
"""Magics that run code in the namespace."""
_MEASURE = frozenset({"timeit", "prun"})
"""Magics that run code in a function of its own."""
_OPTIONS = re.compile(r"^(\s*-{1,2}[a-zA-Z][-a-zA-Z]*(\s*\d+)?(?=\s|$))*\s*")
_STORES = re.compile(r"--(out|err|proc|bg)\b")


class Plain(ast.NodeTransformer):
    """Replaces what it knows; calls that it does not know stay as they are."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        """Names that the replaced calls read themselves."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | list[ast.stmt]:
        """A statement that is one call may be replaced by several statements."""
        if isinstance(node.value, ast.Call):
            found = self._statements(node.value)
            if found is not None:
                self._note(node.value)
                return found
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """A call inside an expression."""
        found = self._expression(node)
        if found is None:
            return self.generic_visit(node)
        self._note(node)
        return ast.copy_location(found, node)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        """``__name__ == '__main__'`` looks at no variable."""
        sides = [node.left, *node.comparators]
        named = any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides)
        if named and any(isinstance(side, ast.Constant) and side.value == "__main__" for side in sides):
            return ast.copy_location(ast.Constant(True), node)
        return self.generic_visit(node)

    def _note(self, call: ast.Call) -> None:
        self.names.update(name.id for name in ast.walk(call.func) if isinstance(name, ast.Name))

    # -- what a call stands for ----------------------------------------------------------------------

    def _statements(self, call: ast.Call) -> list[ast.stmt] | None:
        if _called(call) == "exec" and len(call.args) == 1 and not call.keywords:
            return self._parsed(_text(call.args[0]))
        magic = _magic(call)
        if magic is None:
            return None
        kind, name, line, body = magic
        if kind in ("system", "getoutput", "getoutputs") or name in _HARMLESS:
            return None if _STORES.search(line) else [ast.Pass(), *self._mentioned(line)]
        if name in _RUN:
            text = body if kind == "run_cell_magic" else _OPTIONS.sub("", line)
            inner = self._parsed(text)
            if inner is None:
                return None
            if name == "capture":
                words = [word for word in line.split() if word.isidentifier()]
                inner += [ast.parse(f"{word} = None").body[0] for word in words]
            handler = ast.ExceptHandler(None, None, [ast.Pass()])
            # What the magic swallows may have ended the code anywhere.
            return [ast.Try([*inner, ast.Pass()], [handler], [], []), *self._braces(line)]
        return None

    def _expression(self, call: ast.Call) -> ast.expr | None:
        name = _called(call)
        if name in ("vars", "dir") and len(call.args) == 1 and not call.keywords:
            return ast.Tuple([self.visit(call.args[0])], ast.Load())
        if name == "eval" and len(call.args) == 1 and not call.keywords:
            return self._evaluated(_text(call.args[0]))
        magic = _magic(call)
        if magic is None:
            return None
        kind, name, line, body = magic
        if kind in ("system", "getoutput", "getoutputs") or (name in _HARMLESS and not _STORES.search(line)):
            return _tuple(statement.value for statement in self._mentioned(line))
        if name in _MEASURE:
            text = _OPTIONS.sub("", line)
            if kind == "run_cell_magic":
                text = text + "\n" + body
            return None if self._braces(line) else self._function(text)
        return None

    def _parsed(self, text: str | None) -> list[ast.stmt] | None:
        if text is None:
            return None
        try:
            inner = ast.parse(_transformed(text))
        except (SyntaxError, ValueError, RecursionError):
            return None
        body: list[ast.stmt] = self.visit(inner).body
        return body

    def _evaluated(self, text: str | None) -> ast.expr | None:
        if text is None:
            return None
        try:
            inner: ast.expr = self.visit(ast.parse(text.strip(), mode="eval")).body
        except (SyntaxError, ValueError, RecursionError):
            return None
        return inner

    def _function(self, text: str) -> ast.expr | None:
        """Code that runs in a function: only an expression can stand inside another one."""
        found = self._evaluated(text)
        if found is None:
            return None
        nothing = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
        return ast.Call(ast.Lambda(nothing, found), [], [])

    def _mentioned(self, line: str) -> list[ast.Expr]:
        """The names that IPython may expand in a line."""
        return self._braces(line) if "$" in line or "{" in line else []

    @staticmethod
    def _braces(line: str) -> list[ast.Expr]:
        if "$" not in line and "{" not in line:
            return []
        words = dict.fromkeys(re.findall(r"[^\W\d]\w*", line))
        loads = [ast.Name(word, ast.Load()) for word in words if _is_name(word)]
        # Reading an attribute may run any code.
        return [ast.Expr(ast.Attribute(name, "__str__", ast.Load())) for name in loads]


def _is_name(word: str) -> bool:
    try:
        return isinstance(ast.parse(word, mode="eval").body, ast.Name)
    except SyntaxError:
        return False


def _tuple(values: Iterable[ast.expr]) -> ast.expr:
    return ast.Tuple(list(values), ast.Load())


def _transformed(text: str) -> str:
    from IPython.core.inputtransformer2 import TransformerManager

    manager = TransformerManager()  # type: ignore[no-untyped-call]
    return str(manager.transform_cell(text))


def _called(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _magic(call: ast.Call) -> tuple[str, str, str, str] | None:
    """``get_ipython().<kind>('name', 'line', 'body')`` with literals only, else None."""
    func = call.func
    if not isinstance(func, ast.Attribute) or not isinstance(func.value, ast.Call):
        return None
    if _called(func.value) != "get_ipython" or func.value.args or call.keywords:
        return None
    texts = [_text(argument) for argument in call.args]
    if any(text is None for text in texts):
        return None
    words = [text or "" for text in texts]
    if func.attr in ("system", "getoutput", "getoutputs") and len(words) == 1:
        return func.attr, "", words[0], ""
    if func.attr == "run_line_magic" and len(words) == 2:
        return func.attr, words[0], words[1], ""
    if func.attr == "run_cell_magic" and len(words) == 3:
        return func.attr, words[0], words[1], words[2]
    return None
