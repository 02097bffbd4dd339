"""``python -m benchmarks.page``: docs/benchmarks.md and its pictures, of what the others measured."""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

DOCS = Path(__file__).resolve().parent.parent / "docs"
COLOURS = {
    "plain": "#7a8591",
    "audit": "#17998a",
    "kishu": "#d0443a",
    "ipyflow": "#9257cf",
    "dill": "#dd9420",
}
MARKS = {"plain": "o", "audit": "s", "kishu": "x", "ipyflow": "^", "dill": "d"}


def mib(count: float) -> str:
    """Bytes in MiB with three digits."""
    return f"{count / 2**20:.3g}"


def milliseconds(seconds: float) -> str:
    """Seconds in milliseconds with three digits."""
    return f"{seconds * 1e3:.3g}"


def table(notebooks: list[dict[str, Any]]) -> str:
    """A row per notebook and system."""
    lines = [
        "| notebook | system | CPU s | extra per cell, median / worst ms | stored MiB | peak MiB | "
        "ready / all values back, CPU s | state |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for book in notebooks:
        for row in book["systems"]:
            if "error" in row:
                lines.append(f"| {book['name']} | {row['system']} | {row['error'].replace('|', ' ')} ||||||")
                continue
            plain = row["system"] == "plain"
            extra = (
                "-" if plain else f"{milliseconds(row['extra_median'])} / {milliseconds(row['extra_max'])}"
            )
            state = {"right": "right", "wrong": "**wrong**", "failed": "not restored"}[row["right"]]
            back = "-" if row["right"] == "failed" else f"{row['ready_cpu']:.2f} / {row['full_cpu']:.2f}"
            again = " (cells run again)" if row["system"] in {"plain", "ipyflow"} else ""
            lines.append(
                f"| {book['name']} | {row['system']} | {row['cpu']:.2f} | {extra} | {mib(row['stored'])} | "
                f"{mib(row['peak'])} | {back}{again} | {state} |"
            )
    return "\n".join(lines)


def bars(notebooks: list[dict[str, Any]], key: str, title: str, unit: float, path: Path) -> None:
    """One group of bars per notebook, one bar per system, logarithmic."""
    systems = list(dict.fromkeys(row["system"] for book in notebooks for row in book["systems"]))
    figure, axes = plt.subplots(figsize=(8.5, 3.4), layout="constrained")
    values = [row.get(key, 0.0) * unit for book in notebooks for row in book["systems"]]
    systems = [name for name in systems if any(_value(book, name, key) > 0 for book in notebooks)]
    width = 0.8 / max(1, len(systems))
    for place, system in enumerate(systems):
        heights = [_value(book, system, key) * unit for book in notebooks]
        at = [index + place * width for index in range(len(notebooks))]
        axes.bar(at, heights, width * 0.92, label=system, color=COLOURS[system])
    axes.set_yscale("log")
    axes.set_ylim(bottom=10 ** math.floor(math.log10(min((v for v in values if v > 0), default=1.0))))
    axes.set_xticks(
        [index + 0.4 - width / 2 for index in range(len(notebooks))], [book["name"] for book in notebooks]
    )
    _finish(axes, title)
    _save(figure, path)


def _value(book: dict[str, Any], system: str, key: str) -> float:
    row = next((row for row in book["systems"] if row["system"] == system), {})
    return float(row.get(key, 0.0))


def stored_against_changed(notebooks: list[dict[str, Any]], path: Path) -> None:
    """A point per cell: what is on disk more after it against what it changed."""
    figure, axes = plt.subplots(figsize=(6, 4.2), layout="constrained")
    least, most = 8.0, 1e4
    for system in ("audit", "kishu", "dill"):
        xs, ys = [], []
        for book in notebooks:
            row = next(
                (row for row in book["systems"] if row["system"] == system and "error" not in row), None
            )
            if row is None or book["cells"] > 40:
                continue
            totals = [0.0, *row["stored_per_cell"]]
            for number, changed in enumerate(book["changed"]):
                xs.append(max(changed, 8))
                ys.append(max(totals[number + 1] - totals[number], 8))
        axes.scatter(xs, ys, s=18, alpha=0.75, label=system, color=COLOURS[system], marker=MARKS[system])
        most = max([most, *xs])
    axes.plot(
        [least, most], [least, most], color="#98a2ad", linewidth=1, linestyle="--", label="as much as changed"
    )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("bytes that the cell changed")
    _finish(axes, "bytes more on disk after a cell")
    _save(figure, path)


def growth(found: dict[str, Any], folder: Path) -> None:
    """Three pictures: length of the notebook, size of the state, runs in the store."""
    figure, (first, second, third) = plt.subplots(1, 3, figsize=(11, 3.3), layout="constrained")
    for system, points in found["length"].items():
        xs, ys = [p["cells"] for p in points], [p["cpu"] * 1e3 for p in points]
        first.plot(xs, ys, label=system, color=COLOURS[system], marker=MARKS[system])
    first.set_xlabel("cells before it")
    _finish(first, "a small cell, CPU ms")
    looks = {"beside": "-", "row": "--", "read": ":"}
    words = {"beside": "small cell beside it", "row": "row written", "read": "all read"}
    for system, points in found["state"].items():
        for key, look in looks.items():
            second.plot(
                [p["bytes"] / 1e6 for p in points],
                [p[key] * 1e3 for p in points],
                look,
                label=f"{system}: {words[key]}",
                color=COLOURS[system],
            )
    second.set_yscale("log")
    second.set_xlabel("state, MB")
    _finish(second, "cells beside a large array, CPU ms")
    third.plot(
        [p["runs"] for p in found["history"]],
        [p["cpu"] * 1e3 for p in found["history"]],
        color=COLOURS["audit"],
        marker="s",
        label="repeat",
    )
    third.set_xlabel("runs in the store")
    _finish(third, "a restored cell, CPU ms")
    for axes in (first, second, third):
        axes.set_xscale("log")
    first.set_ylim(bottom=0)
    third.set_ylim(bottom=0)
    _save(figure, folder / "bench-growth.svg")


def _finish(axes: Any, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    axes.legend(fontsize=7, frameon=False)


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None}, facecolor="white")
    plt.close(figure)


def page(compared: dict[str, Any], grown: dict[str, Any] | None) -> str:
    """The part of docs/benchmarks.md between its marks."""
    books = compared["notebooks"]
    repeats = max((row.get("repetitions", 0) for book in books for row in book["systems"]), default=0)
    when = time.strftime("%B %Y", time.gmtime(compared["started"]))
    parts = [
        f"Measured in {when} with Python {compared['python']} on {compared['cpus']} cores at scale "
        f"{compared['scale']:g}, median of {repeats} run(s), systems in turns. The load "
        f"average was {compared['load']:.0f} at the end; times are CPU time of the kernel's process, "
        "which other load changes little. Scale 1 is the size that the titles tell; fixed costs weigh more "
        "in a smaller one. Systems that are not in the table were not installed for this run.",
        "\n".join(f"* **{book['name']}**: {book['title']} ({book['cells']} cells)" for book in books),
        table(books),
        "![Extra CPU time per cell](img/bench-overhead.svg)",
        "![Bytes stored against bytes changed](img/bench-stored.svg)",
        "![CPU time until all values are back](img/bench-restore.svg)",
        "![Peak memory](img/bench-memory.svg)",
    ]
    if grown is not None:
        parts += ["### Growth", "![Growth](img/bench-growth.svg)"]
    return "\n\n".join(parts)


def main(arguments: list[str] | None = None) -> int:
    """Write pictures and the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("--compare", type=Path, default=Path("compare.json"))
    parser.add_argument("--growth", type=Path, default=Path("growth.json"))
    parser.add_argument("--docs", type=Path, default=DOCS)
    options = parser.parse_args(arguments)
    compared = json.loads(options.compare.read_text())
    grown = json.loads(options.growth.read_text()) if options.growth.exists() else None
    images = options.docs / "img"
    books = compared["notebooks"]
    bars(
        books,
        "extra_median",
        "extra CPU time per cell before the reply, median, ms",
        1e3,
        images / "bench-overhead.svg",
    )
    bars(
        books,
        "full_cpu",
        "CPU time of a new process until all values are back, s",
        1,
        images / "bench-restore.svg",
    )
    bars(books, "peak", "peak memory, MiB", 1 / 2**20, images / "bench-memory.svg")
    stored_against_changed(books, images / "bench-stored.svg")
    if grown is not None:
        growth(grown, images)
    target = options.docs / "benchmarks.md"
    text = target.read_text(encoding="utf-8")
    before, _, rest = text.partition("<!-- figures:begin -->")
    _, _, after = rest.partition("<!-- figures:end -->")
    target.write_text(
        f"{before}<!-- figures:begin -->\n{page(compared, grown)}\n<!-- figures:end -->{after}",
        encoding="utf-8",
    )
    print(f"{target} and the pictures in {images}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
