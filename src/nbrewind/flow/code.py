"""Code as content: digests of functions and cells that ignore where the code stands.

A function is digested by its syntax tree, found again through ``linecache`` (IPython
registers every cell there), so comments, line numbers and file names do not count
(R2, R9).  Only code without source is digested by its instructions, which binds the
digest to Python's minor version.
"""

from __future__ import annotations

import ast
import contextlib
import dis
import inspect
import io
import linecache
import sys
import tokenize
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any

from blake3 import blake3

from nbrewind.flow.room import unwarned

POSITION_NAMES = frozenset(
    {
        "f_lineno",
        "currentframe",
        "_getframe",
        "traceback",
        "getsource",
        "getsourcelines",
        "tb_lineno",
        "findsource",
    }
)
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def hash_bytes(data: bytes) -> str:
    """BLAKE3 of ``data`` as 32 hexadecimal digits."""
    return str(blake3(data).hexdigest()[:32])


def hash_parts(*parts: str | bytes) -> str:
    """Digest of a sequence of parts, each length-prefixed so that none runs into the next."""
    hasher = blake3()
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        hasher.update(len(raw).to_bytes(8, "little"))
        hasher.update(raw)
    return str(hasher.hexdigest()[:32])


def dump_tree(node: Any) -> str:
    """A syntax tree as text without positions and without fields that hold nothing.

    Leaving empty fields out keeps the text the same over Python's minor versions,
    which add fields (``type_params``) and drop empty ones (3.13).
    """
    if isinstance(node, ast.AST):
        fields = []
        for name in node._fields:
            value = getattr(node, name, None)
            if value is None and not isinstance(node, ast.Constant):
                continue
            if name in ("kind", "type_comment", "type_ignores") or value == []:
                continue
            fields.append(f"{name}={dump_tree(value)}")
        return f"{type(node).__name__}({','.join(fields)})"
    if isinstance(node, list):
        return "[" + ",".join(dump_tree(item) for item in node) + "]"
    if isinstance(node, int) and not isinstance(node, bool):
        return f"int:{node:x}"
    return f"{type(node).__name__}:{node!r}"


def ends_quietly(source: str) -> bool:
    """Whether a trailing ``;`` suppresses the display of the last expression."""
    if ";" not in source:
        return False
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (tokenize.TokenError, SyntaxError):
        return source.rstrip().endswith(";")
    for token in reversed(tokens):
        if token.type in (tokenize.ENDMARKER, tokenize.NL, tokenize.NEWLINE, tokenize.COMMENT):
            continue
        return token.type == tokenize.OP and token.string == ";"
    return False


def source_key(transformed: str, *, flags: int = 0) -> str:
    """Identity of a cell's code: position-free unless the code can see positions (R2).

    ``transformed`` is the source after IPython's input transformations; ``flags`` are the
    ``__future__`` flags in force.  Code that does not parse is identified by its text.
    """
    try:
        tree = ast.parse(transformed)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return hash_parts("text", transformed, str(flags))
    body = dump_tree(tree)
    parts = ["cell", body, str(flags), "quiet" if ends_quietly(transformed) else "shown"]
    if sees_positions(tree):
        parts.append(transformed)
    return hash_parts(*parts)


def sees_positions(tree: ast.AST) -> bool:
    """Whether the code names something that reveals line numbers or its own text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in POSITION_NAMES:
            return True
        if isinstance(node, ast.Name) and node.id in POSITION_NAMES:
            return True
        if isinstance(node, ast.alias) and node.name.split(".")[-1] in POSITION_NAMES:
            return True
    return False


@lru_cache(maxsize=4096)
def _parsed(filename: str, text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return None


def parsed(text: str) -> ast.Module | None:
    """The syntax tree of a cell's text, None where it is no Python."""
    return _parsed("<cell>", text)


def source_of_file(filename: str) -> str:
    """Text of a source file or of a cell, empty when unknown."""
    return "".join(linecache.getlines(filename))


def _span(node: ast.AST) -> tuple[int, int, int, int]:
    return (
        getattr(node, "lineno", 0),
        getattr(node, "col_offset", 0),
        getattr(node, "end_lineno", 0) or 0,
        getattr(node, "end_col_offset", 0) or 0,
    )


def _first_line(node: FunctionNode) -> int:
    decorators = getattr(node, "decorator_list", [])
    lines: list[int] = [node.lineno, *(d.lineno for d in decorators)]
    return min(lines)


def function_node(code: CodeType) -> FunctionNode | None:
    """The syntax tree of a function's code, or None when its source is not at hand."""
    text = source_of_file(code.co_filename)
    if not text:
        return None
    tree = _parsed(code.co_filename, text)
    if tree is None:
        return None
    wanted = "lambda" if code.co_name == "<lambda>" else "def"
    found: list[FunctionNode] = []
    for node in ast.walk(tree):
        if (wanted == "lambda" and isinstance(node, ast.Lambda) and node.lineno == code.co_firstlineno) or (
            wanted == "def"
            and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.name == code.co_name
            and _first_line(node) == code.co_firstlineno
        ):
            found.append(node)
    if len(found) <= 1:
        return found[0] if found else None
    return _narrow(found, code)


def _narrow(found: list[FunctionNode], code: CodeType) -> FunctionNode | None:
    """Among functions that begin on one line, the one whose body holds the instructions."""
    positions = [
        p for p in code.co_positions() if p[0] and p[2] is not None and p[1] and (p[2], p[3]) != (0, 0)
    ]
    fitting: list[FunctionNode] = []
    for node in found:
        body = node.body if isinstance(node.body, ast.AST) else node
        line, column, end_line, end_column = _span(body)
        if all(
            (line, column) <= (p[0] or 0, p[2] or 0) and (p[1] or 0, p[3] or 0) <= (end_line, end_column)
            for p in positions
        ):
            fitting.append(node)
    # Nested lambdas all hold the innermost's instructions: the smallest span is the owner.
    fitting.sort(key=lambda n: (_span(n)[2] - _span(n)[0], _span(n)[3] - _span(n)[1]))
    return fitting[0] if fitting else None


def _const_parts(value: Any) -> Iterator[str | bytes]:
    if isinstance(value, CodeType):
        yield from _code_parts(value)
    elif isinstance(value, tuple):
        yield "("
        for item in value:
            yield from _const_parts(item)
        yield ")"
    elif isinstance(value, frozenset):
        yield "frozenset"
        yield from sorted(hash_parts(*_const_parts(item)) for item in value)
    else:
        yield type(value).__name__
        yield repr(value)


def _code_parts(code: CodeType) -> Iterator[str | bytes]:
    yield f"code {sys.version_info[:2]} {code.co_name} {code.co_flags}"
    yield f"{code.co_argcount} {code.co_posonlyargcount} {code.co_kwonlyargcount}"
    yield code.co_code
    yield repr((code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars))
    for const in code.co_consts:
        yield from _const_parts(const)


_CODE_DIGESTS: dict[int, tuple[CodeType, str]] = {}
_SOURCED: dict[CodeType, str] = {}
"""Digests of code that had a source, by the code itself, to which its file's name does not belong.

cloudpickle sends code without the name of its file, and gives the classes of the notebook
new methods when an instance comes back from a worker.
"""


def code_digest(code: CodeType) -> str:
    """Digest of one code object: its syntax tree, else its instructions."""
    known = _CODE_DIGESTS.get(id(code))
    if known is not None and known[0] is code:
        return known[1]
    node = function_node(code)
    if node is None:
        digest = _SOURCED.get(code) or hash_parts(*_code_parts(code))
    else:
        digest = hash_parts("tree", code.co_name, dump_tree(node), str(future_flags(code)))
        _SOURCED[code] = digest
    _CODE_DIGESTS[id(code)] = (code, digest)
    return digest


def future_flags(code: CodeType) -> int:
    """The ``__future__`` flags a code object was compiled with."""
    return code.co_flags & 0x1FE0000


def function_digest(func: FunctionType) -> str:
    """Digest of a function: code, defaults, closure values and attributes, not globals.

    Raises:
        NotStorable: a default or closure value has no content digest.
    """
    from nbrewind.flow.digest import content_digest

    return content_digest(func)


def codes_of(code: CodeType) -> Iterator[CodeType]:
    """A code object and all those nested in it, outermost first."""
    yield code
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from codes_of(const)


def compiled_apart(text: str, filename: str, flags: int) -> CodeType:
    """Code to be looked at, not to be run.

    From Python 3.13 on the order of ``{"a", "c9"}`` depends on whether its words were constants before, and
    the first to compile them must be who runs them: the words of displays of sets are others here.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: as ``compile``.
    """
    source: str | ast.Module = text
    if sys.version_info >= (3, 13) and "{" in text:
        parsed = compile(text, filename, "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
        source = _SetsApart().visit(parsed)
    code: CodeType = compile(source, filename, "exec", flags, dont_inherit=True)
    return code


class _SetsApart(ast.NodeTransformer):
    """Gives words in displays of sets a blank more."""

    def visit_Set(self, node: ast.Set) -> ast.Set:
        for item in node.elts:
            if isinstance(item, ast.Constant) and isinstance(item.value, str):
                item.value += " "
        return node


_RUNS_TEXT = frozenset({"exec", "eval", "run_cell_magic", "run_line_magic", "run_cell", "ex"})
"""What code mentions that runs strings: ``%%time`` makes one of the cell."""


@lru_cache(maxsize=8192)
def with_texts(code: CodeType) -> tuple[CodeType, ...]:
    """A code object, all those nested in it, and those of the strings that it may run."""
    found = list(codes_of(code))
    if any(not _RUNS_TEXT.isdisjoint(inner.co_names) for inner in found):
        for text in list(strings(code)):
            unit = _unit(text)
            if unit is not None:
                found += with_texts(unit)
    return tuple(found)


def _unit(text: str) -> CodeType | None:
    """A string as code, None if it is none."""
    if text.isidentifier() or not text.strip():
        return None
    from IPython.core import inputtransformer2

    manager: Any = inputtransformer2
    for transform in (str, manager.TransformerManager().transform_cell):
        with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError), unwarned():
            return compiled_apart(transform(text), "<text>", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    return None


@lru_cache(maxsize=256)
def instructions(code: CodeType) -> tuple[dis.Instruction, ...]:
    """The instructions of one code object: a cell's are asked for several times while it runs."""
    return tuple(dis.get_instructions(code))


def operations(code: CodeType) -> Iterator[dis.Instruction]:
    """All instructions that the code may run."""
    for inner in with_texts(code):
        yield from instructions(inner)


def is_class_body(code: CodeType) -> bool:
    """Whether code is the body of a class, which binds names of its own.

    A cell may mention ``__qualname__`` too.
    """
    named = code.co_name.isidentifier()  # that of a cell or text is `<module>`
    return named and not code.co_flags & inspect.CO_NEWLOCALS and "__qualname__" in code.co_names


@lru_cache(maxsize=8192)
def _names(code: CodeType) -> tuple[frozenset[str], frozenset[str], frozenset[str], frozenset[str]]:
    deletes: set[str] = set()
    loads: set[str] = set()
    stores: set[str] = set()
    faults: set[str] = set()
    for inner in with_texts(code):
        class_body = is_class_body(inner)
        bound: set[str] = set()
        straight = True
        for op in instructions(inner):
            name = op.argval if isinstance(op.argval, str) else ""
            kind = op.opname
            if "JUMP" in kind or kind in ("FOR_ITER", "SEND"):
                straight = False
            if kind == "LOAD_GLOBAL":
                loads.add(name)
            elif kind == "LOAD_NAME":
                if not (class_body and name in bound):
                    loads.add(name)
                    if class_body:
                        faults.add(name)
            elif kind == "LOAD_FROM_DICT_OR_GLOBALS":
                loads.add(name)
                faults.add(name)
            elif kind == "STORE_GLOBAL" or (kind == "STORE_NAME" and not class_body):
                stores.add(name)
            elif kind == "STORE_NAME" and straight:
                bound.add(name)
            elif kind == "DELETE_GLOBAL" or (kind == "DELETE_NAME" and not class_body):
                stores.add(name)
                faults.add(name)
                deletes.add(name)
    hidden = {"__name__", "__module__", "__qualname__", "__classcell__", "__annotations__"}
    return frozenset(loads - hidden), frozenset(stores), frozenset(faults - hidden), frozenset(deletes)


def global_names(code: CodeType) -> frozenset[str]:
    """Names that the code (and code nested in it) may load from its globals."""
    return _names(code)[0]


def stored_names(code: CodeType) -> frozenset[str]:
    """Names that the code may bind or delete in its globals."""
    return _names(code)[1]


def prefault_names(code: CodeType) -> frozenset[str]:
    """Names that the interpreter would look up without calling ``__missing__``.

    Class bodies use ``PyDict_GetItem`` and ``del`` of a global looks into the dict
    directly, so these names must be in the namespace before the code runs.
    """
    return _names(code)[2]


def deleted_names(code: CodeType) -> frozenset[str]:
    """Names that the code may delete from its globals."""
    return _names(code)[3]


@lru_cache(maxsize=8192)
def deletes_by_key(code: CodeType) -> bool:
    """Whether the code may delete names that it computes: ``del globals()[name]``."""
    if not global_names(code) & {"globals", "vars", "locals"}:
        return False
    return any(op.opname == "DELETE_SUBSCR" for op in operations(code))


_INDIRECT = frozenset(
    {"setattr", "delattr", "patch", "__dict__", "vars", "monkeypatch", "__setattr__", "__delattr__"}
)


@lru_cache(maxsize=8192)
def stored_attributes(code: CodeType) -> frozenset[str]:
    """Attribute names that the code sets or deletes, by statement or by a string it holds (R8)."""
    found: set[str] = set()
    indirect = bool(attribute_names(code) & _INDIRECT)
    for inner in with_texts(code):
        for op in instructions(inner):
            if op.opname in ("STORE_ATTR", "DELETE_ATTR"):
                found.add(str(op.argval))
        if indirect:
            for const in inner.co_consts:
                if isinstance(const, str):
                    found.update(const.replace(".", " ").split())
    return frozenset(found)


@lru_cache(maxsize=8192)
def loaded_attributes(code: CodeType) -> frozenset[str]:
    """Attribute names that the code reads, and names that it imports from modules."""
    kinds = ("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM")
    return frozenset(str(op.argval) for op in operations(code) if op.opname in kinds)


_BY_NAME = frozenset({"modules", "import_module", "__import__"})
"""What code mentions that gets at modules by their names."""


@lru_cache(maxsize=8192)
def imports(code: CodeType) -> frozenset[str]:
    """Modules that the code may import when it runs, by full name; also what ``from`` takes (it may be one).

    Relative imports are left out: a notebook is in no package.
    """
    found: set[str] = set()
    for inner in with_texts(code):
        owner = ""
        for op in instructions(inner):
            if op.opname == "IMPORT_NAME":
                owner = str(op.argval)
                found.add(owner)
            elif op.opname == "IMPORT_FROM":
                found.add(f"{owner}.{op.argval}")
    names = attribute_names(code)
    if names & _BY_NAME:
        found.update(text for text in strings(code) if text.replace(".", "").isidentifier())
    return frozenset(found)


def strings(code: CodeType) -> Iterator[str]:
    """All strings in a code object's constants."""
    for inner in codes_of(code):
        for const in inner.co_consts:
            if isinstance(const, str):
                yield const
            elif isinstance(const, tuple):
                yield from (item for item in const if isinstance(item, str))


def attribute_names(code: CodeType) -> frozenset[str]:
    """All names the code mentions, attributes included."""
    return frozenset(name for inner in with_texts(code) for name in inner.co_names)
