"""The notebooks of the comparison: N1 to N8 and loops, at any scale.

Each cell says how many bytes of the state it changes, so that what a system stores can be held
against it.  ``scale`` 1 is the size that the names tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One cell, and how many bytes of values are other after it than before."""

    source: str
    changed: int = 0


@dataclass(frozen=True, slots=True)
class Workload:
    """A notebook.  ``check`` is an expression whose value tells whether the state came back right."""

    name: str
    title: str
    steps: tuple[Step, ...]
    check: str
    needs: tuple[str, ...] = ("numpy",)


def frame(scale: float) -> Workload:
    rows = max(1000, int(1_000_000 * scale))
    column = 8 * rows
    steps = [
        Step("import numpy as np, pandas as pd"),
        Step(
            f"frame = pd.DataFrame(np.random.default_rng(1).normal(size=({rows}, 10)), "
            "columns=[f'c{i}' for i in range(10)])",
            10 * column,
        ),
        *(Step(f"frame['n{i}'] = frame['c{i}'] * {i + 2}", column) for i in range(10)),
        Step(f"frame.iloc[{rows // 2}, 3] = 7.0", 8),
        Step(f"frame.loc[{rows // 3}:{rows // 3 + 9}, 'c1'] = 0.0", 80),
        Step("mean = float(frame['n3'].mean())", 32),
    ]
    return Workload(
        "N1",
        "1M x 10 frame: columns added, written in place",
        tuple(steps),
        "(float(frame.to_numpy().sum()), frame.shape)",
        ("pandas",),
    )


def array(scale: float) -> Workload:
    rows = max(8, int(1000 * scale))
    width = 134_000
    steps = [
        Step("import numpy as np"),
        Step(f"big = np.random.default_rng(1).random(({rows}, {width}))", 8 * rows * width),
    ]
    for n in range(5):
        row = (n * 7) % rows
        steps += [
            Step(f"big[{row}] = {n}.5", 8 * width),
            Step(f"big[{row}, 17] = -1.0 - {n}", 8),
            Step(f"scalar{n} = {n} * 2", 32),
            Step(f"total{n} = float(big[::{n + 1}].sum())", 32),
        ]
    return Workload(
        "N2",
        "1 GB array: rows and elements written, read, scalars beside it",
        tuple(steps),
        "(float(big.sum()), total4)",
    )


def models(scale: float) -> Workload:
    rows = max(500, int(100_000 * scale))
    steps = [
        Step(
            "import numpy as np\nfrom sklearn.linear_model import Ridge\n"
            "from sklearn.tree import DecisionTreeRegressor"
        ),
        Step(f"rng = np.random.default_rng(3)\nX = rng.normal(size=({rows}, 50))", 8 * rows * 50),
        Step(f"y = X[:, 0] * 2 + rng.normal(size={rows})", 8 * rows),
        Step("models = []", 56),
    ]
    for n in range(8):
        fit = (
            f"Ridge(alpha={n + 1}.0)"
            if n % 2
            else f"DecisionTreeRegressor(max_depth={4 + n}, random_state=0)"
        )
        steps.append(Step(f"models.append({fit}.fit(X, y))", 20_000))
    return Workload(
        "N3",
        "model fits kept in a list",
        tuple(steps),
        "[float(m.predict(X[:3]).sum()) for m in models]",
        ("sklearn",),
    )


def objects(scale: float) -> Workload:
    count = max(1000, int(200_000 * scale))
    steps = [
        Step(
            "class Point:\n    def __init__(self, value):\n"
            "        self.value = value\n        self.label = f'p{value}'"
        ),
        Step(f"points = {{i: Point(i) for i in range({count})}}", 200 * count),
        *(Step(f"points[{(n * 37) % count}].value += {n + 1}", 32) for n in range(8)),
        Step("total = sum(point.value for point in points.values())", 32),
    ]
    return Workload(
        "N4",
        "200k objects of a notebook class, one changed per cell",
        tuple(steps),
        "sum(p.value for p in points.values())",
    )


def unstorable(scale: float) -> Workload:
    size = max(10_000, int(12_500_000 * scale))
    steps = [
        Step("import numpy as np, threading, sqlite3"),
        Step(f"data = np.arange({size}.0)", 8 * size),
        Step("gen = (value * 2 for value in range(1000))", 200),
        Step("first = next(gen)", 32),
        Step("lock = threading.Lock()", 64),
        Step(
            "def counter():\n    count = 0\n    def step():\n        nonlocal count\n        count += 1\n"
            "        return count\n    return step\ntick = counter()",
            500,
        ),
        Step("ticks = [tick(), tick()]", 100),
        Step("db = sqlite3.connect(':memory:'); _made = db.execute('create table t (a)')", 100),
        Step("data[5] = -1.0", 8),
        Step("mean = float(data.mean())", 32),
        Step("second = next(gen)", 32),
    ]
    return Workload(
        "N5", "what cannot be stored beside 100 MB", tuple(steps), "(float(data[5]), first, second, tick())"
    )


def aliases(scale: float) -> Workload:
    size = max(1000, int(1_000_000 * scale))
    steps = [
        Step("import numpy as np"),
        Step(f"parts = [np.full({size}, float(i)) for i in range(20)]", 160 * size),
        Step("alias = parts", 0),
        Step("window = parts[3][10:20]", 100),
        Step("window[:] = 99.0", 80),
        Step("alias[7][0] = -5.0", 8),
        Step("parts.append(parts[0])", 8),
        Step("parts[-1][1] = 42.0", 8),
        Step("total = float(sum(part.sum() for part in parts))", 32),
        *(Step(f"parts[{n}][{n}] = {n}.25", 8) for n in range(5)),
    ]
    return Workload(
        "N6",
        "160 MB list of arrays with aliases and views",
        tuple(steps),
        "(float(parts[3][12]), float(alias[7][0]), parts is alias, parts[-1] is parts[0],"
        " window.base is parts[3])",
    )


def small(scale: float) -> Workload:
    count = max(20, int(1000 * scale))
    steps = [Step("items = []", 56)]
    for n in range(count):
        kind = n % 4
        source = (
            f"a{n} = {n}",
            f"items.append({n})",
            f"print('cell', {n}, len(items))",
            f"def f{n}(x):\n    return x + {n}",
        )[kind]
        steps.append(Step(source, (32, 8, 0, 200)[kind]))
    return Workload("N7", "1,000 small cells", tuple(steps), "(len(items), a0)", ())


def columnar(scale: float) -> Workload:
    rows = max(1000, int(1_000_000 * scale))
    width = max(8, rows // 2000)
    layer = 256 * 8 * width
    steps = [
        Step("import numpy as np, polars as pl, pyarrow as pa"),
        Step(f"table = pa.table({{'a': np.arange({rows}), 'b': np.arange({rows}) * 0.5}})", 16 * rows),
        Step(f"frame = pl.DataFrame({{'a': np.arange({rows}), 'b': np.arange({rows}) * 2.0}})", 16 * rows),
        Step("frame = frame.with_columns((pl.col('a') * pl.col('b')).alias('c'))", 8 * rows),
        Step(
            f"state = {{f'layer{{i}}.weight': np.full((256, {width}), i * 0.1) for i in range(12)}}",
            12 * layer,
        ),
        *(Step(f"state['layer{n}.weight'] -= 0.01", layer) for n in range(4)),
        Step("best = {key: value.copy() for key, value in state.items()}", 12 * layer),
        Step("score = float(frame['c'].sum())", 32),
    ]
    return Workload(
        "N8",
        "polars, pyarrow, dictionaries of weights",
        tuple(steps),
        "(float(state['layer2.weight'].sum()), frame.shape, table.num_rows)",
        ("polars", "pyarrow"),
    )


def loops(scale: float) -> Workload:
    n = max(10_000, int(1_000_000 * scale))
    steps = [
        Step("OFFSET = 3\ndef step(value):\n    return value + OFFSET", 200),
        Step(f"total = 0\nfor i in range({n}):\n    total = total + i", 64),
        Step(f"for i in range({n}):\n    step(i)", 32),
        Step(f"for i in range({n}):\n    abs(i)", 32),
        Step(f"table = {{}}\nfor i in range({n // 4}):\n    table[i] = [i]", 100 * n // 4),
    ]
    return Workload(
        "loops", "trivial statements, calls, builtins, lists built", tuple(steps), "(total, len(table))", ()
    )


MAKERS: dict[str, Callable[[float], Workload]] = {
    "N1": frame,
    "N2": array,
    "N3": models,
    "N4": objects,
    "N5": unstorable,
    "N6": aliases,
    "N7": small,
    "N8": columnar,
    "loops": loops,
}
