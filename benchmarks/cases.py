"""What is measured: cells for preparation, cells under the clock, and the budget of each.

A budget is the upper limit that the project sets itself (docs/architecture.md, "Budgets").
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """How big; ``--quick`` shrinks everything so that a change can be tried in a minute."""

    statements: int = 1_000_000
    rows: int = 1000
    columns: int = 125_000
    objects: int = 200_000
    small_repeats: int = 40
    repeats: int = 9
    heavy_repeats: int = 3
    starts: int = 5
    examples: bool = True


QUICK = Sizes(
    statements=100_000,
    rows=100,
    objects=20_000,
    small_repeats=15,
    repeats=3,
    heavy_repeats=2,
    starts=2,
    examples=False,
)


@dataclass(frozen=True, slots=True)
class Case:
    """One measured cell and what has to run before it.

    ``{n}`` in a source is the number of the repetition, so that no two are equal.
    ``ratio`` is the budget against the plain kernel, ``extra`` in seconds over it.
    """

    name: str
    cell: str
    setup: tuple[str, ...] = ()
    before: str = ""
    """Runs untimed before each repetition."""
    repeats: int = 5
    ratio: float | None = None
    extra: float | None = None
    heavy: bool = False
    """Wait for background work before the next measurement, and tell the bytes stored."""
    memory: bool = False
    """Compare the peak of resident memory instead of the time."""


def cases(sizes: Sizes) -> list[Case]:
    """All cases in the order of the report; related ones share the kernel pair's namespace."""
    n = sizes.statements
    gigabyte = f"np.full(({sizes.rows}, {sizes.columns}), {{n}} + 1.5)"
    loop = sizes.repeats
    heavy = sizes.heavy_repeats
    return [
        Case("small cell: assign", "a{n} = {n}", repeats=sizes.small_repeats, extra=0.003),
        Case("small cell: read and print", "print(a0 + {n})", repeats=sizes.small_repeats, extra=0.003),
        Case("small cell: def", "def f(x):\n    return x + {n}", repeats=sizes.small_repeats, extra=0.003),
        Case(
            "small cell: append to a list",
            "items.append({n})",
            ("items = []",),
            repeats=sizes.small_repeats,
            extra=0.003,
        ),
        Case(
            f"{n:,} statements",
            f"total = 0\nfor i in range({n}):\n    total = total + i",
            repeats=loop,
            ratio=1.6,
        ),
        Case(
            f"{n:,} calls reading globals",
            f"for i in range({n}):\n    step(i)",
            ("OFFSET = 3", "def step(value):\n    return value + OFFSET"),
            repeats=loop,
            ratio=1.6,
        ),
        Case(
            f"{n:,} calls of a builtin",
            f"for i in range({n}):\n    abs(i)",
            repeats=loop,
            ratio=2.2,
        ),
        Case(
            f"{n:,} builtins inside a function",
            "count()",
            (f"def count():\n    for i in range({n}):\n        len(WORD)", "WORD = 'word'"),
            repeats=loop,
            ratio=2.2,
        ),
        Case(
            "arrays created",
            f"big = {gigabyte}",
            ("import numpy as np",),
            before="big = None",
            repeats=heavy,
            extra=0.35,
            heavy=True,
        ),
        Case("arrays read", "mean{n} = float(big.sum())", repeats=heavy, extra=0.1, heavy=True),
        Case("one row of the arrays written", "big[{n}] = {n}", repeats=heavy, extra=0.15, heavy=True),
        Case("beside the arrays: small cell", "beside{n} = {n}", repeats=sizes.small_repeats, extra=0.003),
        Case(
            "peak memory of `x = None; x = big()`",
            "x = None\nx = make({n})",
            (
                "big = None",
                f"def make(value):\n    return np.full(({sizes.rows}, {sizes.columns}), value * 1.0)",
                "x = make(0)",
            ),
            repeats=heavy,
            ratio=1.05,
            heavy=True,
            memory=True,
        ),
        Case(
            f"{sizes.objects:,} objects created",
            f"points = {{i: Point(i) for i in range({sizes.objects})}}",
            (
                "x = None",
                "class Point:\n    def __init__(self, value):\n        self.value = value",
            ),
            repeats=heavy,
            heavy=True,
        ),
        Case("one of the objects changed", "points[7].value += 1", repeats=heavy, extra=2.0, heavy=True),
        Case(
            "all objects read",
            "total{n} = sum(point.value for point in points.values())",
            repeats=heavy,
            heavy=True,
        ),
    ]


def unchanged_notebook() -> list[str]:
    """Cells for the restore time of an unchanged repeat: small values, a frame-like array, outputs."""
    cells = ["import numpy as np", "base = np.arange(1_000_000.0)"]
    for number in range(20):
        cells.append(f"v{number} = base[{number}:{number} + 1000] * {number}")
        cells.append(f"print('cell', {number}, v{number}.sum())")
    return cells
