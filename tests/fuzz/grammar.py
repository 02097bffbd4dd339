"""The statements that fuzzed notebooks are made of.

A statement is text with holes.  ``<L>`` is a name that holds a list now, ``<L2>`` another pick, ``<X>`` a name
that holds anything; ``<=L>`` binds a name to a list, ``<=@>`` to what ``<X>`` is, ``<-X>`` unbinds one; ``<k>``
is a small number, ``<s>`` a word, ``<p>`` a file for results.  What a name holds is only the generator's
belief: conditions, errors and edits make it wrong now and then, as in life.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import yaml

HOLE = re.compile(r"<(=@|[=-]?[A-Z]\d?|[ksp]\d?)>")

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "N": "<=N> = <k>",
        "S": "<=S> = 'word<k>'",
        "L": "<=L> = [<k>, <k2>]",
        "D": "<=D> = {'a': <k>, 'b': [<k2>]}",
        "T": "<=T> = {<k>, <k2>, 'z'}",
        "U": "<=U> = (<k>, [<k2>])",
        "A": "<=A> = np.arange(<k> + 4)",
        "P": "<=P> = pd.DataFrame({'x': [1, 2, <k>], 'y': [0.5, <k2>, 3.0]})",
        "R": "<=R> = pd.Series([<k>, 2, 3], name='r')",
        "F": "def <=F>(z=<k>):\n    return z + 1",
        "C": "class <=C>:\n    n = <k>\n    def m(self):\n        return self.n",
        "O": "<=O> = types.SimpleNamespace(n=<k>, items=[])",
        "G": "<=G> = iter([<k>, 2, 3, 4, 5])",
        "V": "<=V> = collections.Counter('abca')",
        "B": "<=B> = bytearray(b'0123456789')",
        "J": "def _make_<k>():\n    box = [<k>]\n    def add(v=1):\n        box.append(v)\n        return len(box)\n    return add\n<=J> = _make_<k>()",
        "K": "@functools.lru_cache(maxsize=None)\ndef <=K>(v):\n    return v * <k>",
        "E": "class <=E>(enum.Enum):\n    RED = <k>\n    BLUE = 'b'",
        "Z": "@dataclasses.dataclass\nclass <=Z>:\n    n: int = <k>\n    items: list = dataclasses.field(default_factory=list)",
        "W": "<=W> = np.random.default_rng(<k>)",
        "H": "<=H> = io.StringIO('one\\ntwo\\nthree\\n')",
    }
)
"""What names can hold, and a statement that gives one."""

MODULES: Mapping[str, str] = MappingProxyType(
    {
        "np": "import numpy as np",
        "pd": "import pandas as pd",
        **{
            name: f"import {name}"
            for name in (
                "abc", "array", "base64", "bisect", "collections", "configparser", "contextlib", "copy", "csv", "dataclasses",
                "datetime", "decimal", "enum", "fractions", "functools", "glob", "gc", "hashlib", "heapq", "importlib",
                "inspect", "io", "itertools", "json", "logging", "math", "operator", "os", "pickle", "pprint", "queue",
                "random", "re", "shutil", "sqlite3", "statistics", "string", "struct", "subprocess", "sys", "tempfile",
                "textwrap", "threading", "types", "typing", "uuid", "warnings", "weakref", "zipfile", "helper",
            )
        },
        "Path": "from pathlib import Path",
    }
)  # fmt: skip
"""What a statement that mentions a name imports."""

FILES: Mapping[str, str] = MappingProxyType(
    {
        "in.csv": "x,y\n1,2\n3,4\n5,6\n",
        "data.txt": "alpha\nbeta\n",
        "conf.json": '{"lr": 3, "deep": {"k": [1, 2]}}\n',
        "sub/x.txt": "7\n",
        "helper.py": "import math\nSCALE = 2\nREG = []\ndef scale(v):\n    return v * SCALE\ndef note(v):\n    REG.append(v)\n    return len(REG)\nclass Tool:\n    size = 3\n    def __init__(self):\n        self.made = SCALE\n",
    }
)
"""Beside every notebook."""

SECTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        name: (*KINDS.values(), *statements) if name == "numbers" else tuple(statements)
        for name, statements in yaml.safe_load(
            Path(__file__).with_name("statements.yaml").read_text(encoding="utf-8")
        ).items()
    }
)
"""Statements by what they are about: a notebook is mostly about two things."""
STATEMENTS = tuple(s for section in SECTIONS.values() for s in section)
WRAPPERS: tuple[str, ...] = (
    "%%time\n{}",
    "%%capture captured\n{}",
    "if <N> < 7:\n{4}",
    "for turn in range(2):\n{4}",
    "try:\n{4}\nexcept Exception as e:\n    print(type(e).__name__)",
    "def step():\n{global}{4}\nstep()",
    "exec({repr})",
    "with contextlib.suppress(Exception):\n{4}",
    "{}\nraise KeyError('after')",
    "with open('log.txt', 'a') as log:\n    log.write('start\\n')\n{4}",
    "%%bash\necho <k> >> shell.txt",
)
"""What may stand around the statements of a cell: ``{}`` as they are, ``{4}`` indented."""

WORDS = ("a", "b", "c", "q", "spam", "item", "last", "total")
OUTPUTS = ("out.txt", "log.txt", "res.json", "sub/y.txt")
NAMES = "abcdefghuvwxyz"
