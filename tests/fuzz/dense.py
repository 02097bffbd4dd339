"""Notebooks that are dense: three names, and statements about what cannot be stored, what is shared and patched.

The grammar of ``notebooks.py`` is as wide as life, so two things that matter to each other seldom meet in
one notebook.  Here everything meets: generators, open files and classes are put into each other, into
attributes of modules and classes, are used up, replaced and made again.
"""

from __future__ import annotations

from fuzz.kernels import Cell
from fuzz.notebooks import Dice, Fuzzed

_FIRST = '''import collections, contextlib, copy, enum, functools, importlib, io, itertools, math, pickle, sqlite3, sys
import threading, types, weakref
import numpy as np
import pandas as pd
import helper
with open('lines.txt', 'w') as lines:
    lines.write('l1\\nl2\\nl3\\nl4\\n')
seen = []
class Box:
    def __init__(self, v):
        self.v = v
def gen(n):
    while True:
        got = yield n
        n += 1 + (got or 0)
def pick(v):
    return v
def step(v, depth=0):
    """Use anything a little."""
    if depth > 4:
        return 'deep'
    if isinstance(v, (list, tuple)):
        return [step(one, depth + 1) for one in v]
    if isinstance(v, dict):
        return [step(one, depth + 1) for one in v.values()]
    if isinstance(v, Box):
        return step(v.v, depth + 1)
    if hasattr(v, 'readline'):
        return v.readline()
    if hasattr(v, '__next__'):
        return str(next(v, None))
    if isinstance(v, (np.ndarray, pd.DataFrame, pd.Series)):
        return str(v.sum())
    if isinstance(v, types.FunctionType | functools.partial):
        try:
            return step(v(), depth + 1)
        except TypeError:
            return 'no'
    return type(v).__name__
def grow(one, other):
    """Put one thing into another, in place."""
    if one is other:
        return
    if isinstance(one, list):
        one.append(other)
    elif isinstance(one, dict):
        one['n'] = other
    elif isinstance(one, Box):
        one.v = other
    elif isinstance(one, np.ndarray):
        one += 1
    elif isinstance(one, pd.DataFrame):
        one['n'] = len(one)
a = gen(1)
b = [a]
c = Box(a)'''

_VALUES = (
    *("[1, 2]", "{{'k': [3]}}", "Box([1])", "np.arange(6.0)", "pd.DataFrame({{'x': [1, 2, 3]}})"),
    *("[{x}]", "({x}, {y})", "Box({x})", "{{'k': {x}, 'l': {y}}}", "copy.copy({x})", "{x}"),
    *("lambda: {x}", "functools.partial(pick, {x})", "types.SimpleNamespace(p={x})", "gen(3)", "[gen(2), 7]"),
    *("iter([1, 2, 3, 4, 5])", "(n * n for n in range(9))", "itertools.count(3)", "zip(gen(3), [1, 2, 3])"),
    *("itertools.chain([1, 2], gen(3))", "map(pick, [{x}, 2])", "open('lines.txt')", "threading.Lock()"),
    *("io.StringIO('q\\nw\\ne\\n')", "sqlite3.connect(':memory:')", "memoryview(bytearray(b'abc'))[1:]"),
    *(
        "weakref.ref({x}) if isinstance({x}, Box) else 5",
        "np.ones((2, 3))[0]",
        "collections.deque([1, 2], 3)",
    ),
    *(
        "{x}[1:] if isinstance({x}, np.ndarray) else 4",
        "{x}[{x}.x > 1] if isinstance({x}, pd.DataFrame) else 6",
    ),
    *("Box", "math", "sys.stdin", "type('Made', (Box,), {{'w': {i}}})({x})", "enum.Enum('E', 'P Q')"),
)

_STATEMENTS = (
    *("{a} = {v}",) * 6,
    *("{a} = {x}", "del {x}; {x} = {v}", "{a}, {b} = {x}, {y}", "step({x})", "step({x}); step({y})"),
    *(
        "r{i} = step({x})",
        "r{i} = step({x}), step({y})",
        "grow({x}, {y})",
        "grow({x}, {v})",
        "step({x}); {x} = {v}",
    ),
    *(
        "grow({x}, {y}); {x} = len(seen)",
        "math.{k} = {x}",
        "helper.{k} = {x}",
        "Box.{k} = {x}",
        "math.{k} = {v}",
    ),
    *("helper.{k} = {v}", "Box.{k} = {v}", "math.{k}, helper.{k} = {x}, {y}", "vars(math).pop('{k}', None)"),
    *("{a} = getattr(math, '{k}', 4)", "{a} = getattr(helper, '{k}', 4)", "{a} = getattr(Box, '{k}', 0)"),
    *(
        "step(getattr(helper, '{k}', 4))",
        "grow(getattr(Box, '{k}', 0), {x})",
        "r{i} = type({x}).__name__, {x} is {y}",
    ),
    *(
        "f{i} = lambda: step({x})",
        "r{i} = f0() if 'f0' in globals() else 1",
        "sys.stdin, {a} = {x}, sys.stdin",
    ),
    *("helper.LIMIT = {i}", "r{i} = getattr(helper, 'LIMIT', 0), helper.scale(2)", "helper.note({x})"),
    *("r{i} = len(helper.REG)", "importlib.reload(helper)", "for _ in range(2): step({x})"),
    *(
        "try:\n    step({x})\nfinally:\n    {b} = {y}",
        "class Box{i}(Box):\n    held = {x}\n{a} = Box{i}({y})",
    ),
    *(
        "class Box(Box):\n    again = {i}",
        "class Box:\n    def __init__(self, v):\n        self.v = v\n        self.w = {i}",
    ),
    *("def gen(n):\n    yield from [n, n + {i}, n + 2]", "def pick(v):\n    seen.append({i})\n    return v"),
    *(
        "seen.append({x})",
        "r{i} = len(seen)",
        "seen.clear()",
        "r{i} = step(seen)",
        "{a} = seen",
        "seen = [{x}]",
    ),
    *(
        "{x}",
        "print(step({x}))",
        "{a} = pickle.loads(pickle.dumps(getattr({x}, 'v', 3)))",
        "raise KeyError(step({x}))",
    ),
    *(
        "def f{i}(v={x}): return step(v)",
        "{a} = [n for n in itertools.islice({x}, 2)] if hasattr({x}, '__next__') else 8",
    ),
)

_PROBES = (
    "z = step(a), step(b), step(c)",
    "z = [getattr(m, k, None) is a for m in (math, helper, Box) for k in ('k1', 'k2')], step(a)",
    "z = step(getattr(math, 'k1', 1)), step(getattr(helper, 'k2', 1)), step(b)",
    "z = len(seen), step(seen), step(helper.REG)",
    "z = Box.__mro__, type(c) is Box, step(c)",
)


def notebook(dice: Dice) -> Fuzzed:
    """A notebook of four to eight cells with one edit."""
    roll = dice.roll

    def statement(number: int) -> str:
        x, y, a, b = ("abc"[roll(3)] for _ in range(4))
        value = _VALUES[roll(len(_VALUES))].format(x=x, y=y, i=number)
        template = _STATEMENTS[roll(len(_STATEMENTS))]
        return template.format(a=a, b=b, x=x, y=y, v=value, k=("k1", "k2")[roll(2)], i=number)

    cells = [Cell("c0", _FIRST)]
    for number in range(1, 4 + roll(5)):
        cells.append(Cell(f"c{number}", "\n".join(statement(number) for _ in range(1 + roll(3)))))
    edited, at, kind = list(cells), 1 + roll(len(cells) - 1), roll(8)
    if kind < 3:
        edited[at] = Cell(cells[at].id, f"{cells[at].source}\n{statement(90)}")
    elif kind < 4:
        edited[at] = Cell(cells[at].id, statement(91))
    elif kind < 6:
        edited.insert(at, Cell("n0", statement(92)))
    elif kind < 7:
        edited.insert(at, Cell("n0", f"kept = {'abc'[roll(3)]}, [{'abc'[roll(3)]}]"))
    else:
        del edited[at]
    return Fuzzed(
        cells, edited, probe=Cell("probe", _PROBES[roll(len(_PROBES))]), middle=1 + roll(len(cells) - 1) + 1
    )
