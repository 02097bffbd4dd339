"""What a piece of code may read and bind, from its text alone (docs/extension.md).

Used where the namespace cannot be watched.  Everything here errs to one side: names too many may be given,
never too few; code that can reach names by other ways than naming them (``eval``, frames, ``__main__``) is in
*doubt*, which means that it may read every name.
"""

from __future__ import annotations

import ast
import dis
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

from nbrewind.flow import code as codes
from nbrewind.flow import magiccode
from nbrewind.flow.assigned import Flow, calls_nothing
from nbrewind.flow.magiccode import words

ANNOTATIONS = annotations.compiler_flag
"""The compiler flag of ``from __future__ import annotations``."""

_BUILTINS = words("exec eval compile globals locals vars dir __import__")
"""Functions by whose global names code may reach any variable; ``re.compile`` is another one."""

_DOUBT = words(
    "eval evaluate query sql SQLContext from_formula dmatrix dmatrices model_matrix Formula ols builtins "
    "__builtins__ __main__ __globals__ import_module modules user_ns run_cell get_ipython InteractiveShell "
    "_getframe getouterframes getinnerframes __traceback__ tb_frame f_globals f_locals f_back gi_frame "
    "cr_frame ag_frame currentframe __subclasses__ get_objects get_referrers get_referents settrace "
    "setprofile unpickle read_pickle ProcessPoolExecutor get_type_hints dataclass FunctionType LambdaType "
    "CodeType"
)
"""Names whose users may get at any variable: by strings, frames, ``__main__``, pickles that name classes."""

ACCESS = words(
    "pickle _pickle cPickle dill cloudpickle joblib shelve inspect runpy multiprocessing gc ctypes cffi code "
    "codeop doctest unittest builtins __main__ patsy formulaic duckdb"
)
"""Packages that do that, whatever the notebook calls them."""

_TOGETHER = (("torch", "load"), ("allow_pickle", "load"))
"""Pairs of names that give doubt only together."""

REPLACED = words("exec eval vars dir get_ipython")
"""What the analysis takes for the builtin of that name: a variable of that name is a reason for doubt."""

ORDERED_BY_HASH = ("BUILD_SET", "SET_ADD", "SET_UPDATE")


@dataclass(frozen=True, slots=True)
class Uses:
    """Names of the namespace that some code may touch."""

    loads: frozenset[str] = frozenset()
    stores: frozenset[str] = frozenset()
    definite: frozenset[str] = frozenset()
    """Names that are bound in any case where the code comes to its end."""
    doubt: str = ""
    """Why it may read every name; empty where it can only read ``loads``."""
    calls: bool = True
    """Whether it may call anything at all."""
    hashes: bool = False
    """Whether it may iterate over sets, whose order depends on the process."""
    stars: frozenset[str] = frozenset()
    """Modules of which it imports all names."""

    def __or__(self, other: Uses) -> Uses:
        return Uses(
            self.loads | other.loads,
            self.stores | other.stores,
            self.definite,
            self.doubt or other.doubt,
            self.calls or other.calls,
            self.hashes or other.hashes,
            self.stars | other.stars,
        )


UNREADABLE = Uses(doubt="its code cannot be read")


def of_cell(transformed: str, flags: int, *, careful: bool = False) -> Uses:
    """What a cell may touch; ``transformed`` is its source as IPython will run it.

    ``careful`` counts functions as called where the cell itself calls none.
    """
    try:
        tree = ast.parse(transformed)
        replaced = magiccode.Plain()
        plain = ast.fix_missing_locations(replaced.visit(tree))
        awaiting = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | flags
        code = compile(plain, "<cell>", "exec", awaiting, dont_inherit=True)
        original = compile(transformed, "<cell>", "exec", awaiting, dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, TypeError):
        return UNREADABLE
    calls = careful or not calls_nothing(plain.body)
    flow = Flow(bodies=calls)
    definite = flow.block(plain.body, frozenset())
    named = codes.global_names(code) | codes.prefault_names(code) | codes.global_names(original)
    # A name that stands nowhere in the tree was mangled: it counts.
    loads = {name for name in named if name in flow.reads or name not in flow.seen}
    return Uses(
        frozenset(loads | replaced.names),
        codes.stored_names(code) | {"_exit_code"},  # shell lines leave it
        definite,
        "it has annotations that are text" if _text(plain, code) else doubt_of(code, _SAFE_IN_CELLS),
        calls,
        _hashes(code),
        _stars(plain),
    )


def _stars(tree: ast.AST) -> frozenset[str]:
    return frozenset(
        node.module or ""
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names)
    )


@lru_cache(maxsize=8192)
def of_code(code: CodeType) -> Uses:
    """What a function may touch when it is called, with those that it defines."""
    loads = codes.global_names(code) | codes.prefault_names(code)
    doubt = doubt_of(code)
    if doubt:
        loads, doubt = _of_tree(code, loads, doubt)
    return Uses(loads, codes.stored_names(code), frozenset(), doubt, True, _hashes(code))


def _of_tree(code: CodeType, loads: frozenset[str], doubt: str) -> tuple[frozenset[str], str]:
    """Look closer, at the text: ``vars(x)`` and ``eval('a + 1')`` are no reason for doubt."""
    node = codes.function_node(code)
    if node is None:
        return loads, doubt
    # The tree is shared with whoever asks for it next: a copy is changed.
    text = ast.unparse(node)
    replaced = magiccode.Plain()
    try:
        tree = ast.parse(text)
        plain = ast.fix_missing_locations(replaced.visit(tree))
        inner = compile(plain, "<function>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError):
        return loads, doubt
    return loads | codes.global_names(inner) | replaced.names, doubt_of(inner)


def _text(tree: ast.AST, code: CodeType) -> bool:
    """Whether annotations are strings, which ``dataclass`` and others look up in the module."""
    later = bool(codes.future_flags(code) & ANNOTATIONS)
    for node in ast.walk(tree):
        parts = [getattr(node, "returns", None)]
        if isinstance(node, ast.AnnAssign | ast.arg):
            parts.append(node.annotation)
        for part in parts:
            if part is None or isinstance(part, str):
                continue
            inner = [one.value for one in ast.walk(part) if isinstance(one, ast.Constant)]
            if later or any(isinstance(value, str) for value in inner):
                return True
    return False


_SAFE_IN_CELLS = frozenset({"dataclass"})
"""Without annotations that are text, it looks at no variable."""


def doubt_of(code: CodeType, known: frozenset[str] = frozenset()) -> str:
    """Why code may read names that it does not name, ``known`` ones apart; empty where it cannot."""
    names = codes.attribute_names(code) - known
    found = sorted(names & (_DOUBT | ACCESS)) or sorted(codes.global_names(code) & _BUILTINS)
    if found:
        return f"it uses {found[0]}"
    strings = set(_strings(code))
    if "__main__" in strings:
        return "it uses __main__"
    together = names | strings
    for pair in _TOGETHER:
        if together.issuperset(pair):
            return f"it uses {pair[0]}"
    if any("~" in text for text in strings) and not {"patsy", "formulaic"}.isdisjoint(sys.modules):
        return "it may use a formula"
    return ""


def access_by(value: Any) -> str:
    """Why a value gives access to all names, such as ``eval`` under another name; empty where it does not."""
    if isinstance(value, ModuleType):
        name = value.__name__
        found = name.partition(".")[0] in ACCESS or name == "statsmodels.formula.api"
        return f"it uses {name}" if found else ""
    if isinstance(value, FunctionType | BuiltinFunctionType):
        module = str(getattr(value, "__module__", "")).partition(".")[0]
        name = value.__name__
        if module == "builtins":
            return f"it uses {name}" if name in _BUILTINS else ""
        if module == "__main__":
            return ""
        return f"it uses {name}" if module in ACCESS or (name in _DOUBT and module == "sys") else ""
    return ""


def _strings(code: CodeType) -> Iterable[str]:
    for inner in codes.codes_of(code):
        for const in inner.co_consts:
            if isinstance(const, str):
                yield const
            elif isinstance(const, tuple):
                yield from (item for item in const if isinstance(item, str))


@lru_cache(maxsize=8192)
def _hashes(code: CodeType) -> bool:
    if codes.attribute_names(code) & {"set", "frozenset", "hash", "__hash__"}:
        return True
    return any(
        op.opname in ORDERED_BY_HASH for inner in codes.codes_of(code) for op in dis.get_instructions(inner)
    )


@lru_cache(maxsize=1024)
def doubt_of_file(path: str, signature: tuple[int, int]) -> str:
    """Why a helper module's functions may read the notebook's names; empty where they cannot."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            tree = ast.parse(file.read())
        plain = ast.fix_missing_locations(magiccode.Plain().visit(tree))
        code = compile(plain, path, "exec", dont_inherit=True)
    except (OSError, SyntaxError, ValueError, RecursionError):
        return f"{path} cannot be read"
    names = codes.attribute_names(code) | set(_strings(code))
    found = sorted(names & _DOUBT_IN_FILES)
    return f"the helper module {path} uses {found[0]}" if found else ""


_DOUBT_IN_FILES = words(
    "__main__ _getframe currentframe stack getouterframes f_globals f_locals f_back get_ipython user_ns "
    "InteractiveShell get_objects get_referrers __globals__"
)
"""In a module of its own ``eval`` and ``globals`` reach that module's names, not the notebook's."""
