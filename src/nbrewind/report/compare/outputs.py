"""Whether two cells show the same.

Outputs are paired by kind and order, and of each pair every form is compared by its type.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from nbrewind.report.compare.images import KINDS, compare_images
from nbrewind.report.compare.texts import CLOSE, DIFFERENT, EQUAL, Found, Tolerance, compare_texts
from nbrewind.report.words import joined, visible

ONLY_A = "only in A"
ONLY_B = "only in B"

MOST_DIFFS = 10
"""Diffs of one cell that are kept."""

_WIDGET = "application/vnd.jupyter.widget-view+json"
_SVG = "image/svg+xml"
_TEXTS = frozenset({_SVG, "application/javascript", "application/xml"})
_DRAWN = re.compile(r"<dc:date>[^<]*</dc:date>|(?<=[\"#])[a-z][0-9a-f]{10}(?=[\")])")
"""What matplotlib puts into each drawing anew: the date, and names of shapes."""

Form = tuple[str, Any]
Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class OutputVerdict:
    """One form of one output; ``verdict`` may also be ``only in A`` or ``only in B``."""

    output: int
    """Place among the cell's outputs, after streams were merged."""
    kind: str
    """``stdout``, ``stderr``, ``error`` or a MIME type."""
    verdict: str
    note: str = ""
    relative: float | None = None
    """The largest relative difference of two numbers."""
    diff: tuple[str, ...] = ()


def compare_outputs(
    first: Iterable[Mapping[str, Any]], second: Iterable[Mapping[str, Any]], tolerance: Tolerance
) -> tuple[OutputVerdict, ...]:
    """Compare the outputs (as in nbformat) that a cell has in A and in B, a verdict per form.

    Metadata, execution counts and tracebacks do not count.
    """
    one, other = _keyed(first), _keyed(second)
    found: list[OutputVerdict] = []
    for place, key in enumerate(other):
        found += _compare_forms(place, one.get(key, {}), other[key], tolerance)
    for place, key in enumerate(one):
        if key not in other:
            found += _compare_forms(place, one[key], {}, tolerance)
    if one.keys() == other.keys() and list(one) != list(other):
        found.append(OutputVerdict(0, "order", DIFFERENT, "the outputs come in another order"))
    return _with_few_diffs(found)


def worst(outputs: Iterable[OutputVerdict]) -> str:
    """The verdict on a cell with these: whatever only one side has makes it different."""
    verdicts = {output.verdict for output in outputs}
    if verdicts <= {EQUAL}:
        return EQUAL
    return CLOSE if verdicts <= {EQUAL, CLOSE} else DIFFERENT


def _with_few_diffs(found: list[OutputVerdict]) -> tuple[OutputVerdict, ...]:
    told = 0
    kept = []
    for one in found:
        told += bool(one.diff)
        kept.append(replace(one, diff=()) if told > MOST_DIFFS else one)
    return tuple(kept)


def _keyed(outputs: Iterable[Mapping[str, Any]]) -> dict[Key, dict[str, Any]]:
    """Forms of each output by its kind and its number among those: what comes in between shifts nothing."""
    counts: dict[str, int] = {}
    keyed = {}
    for kind, forms in _merged(outputs):
        counts[kind] = counts.get(kind, 0) + 1
        keyed[kind, counts[kind]] = forms
    return keyed


def _merged(outputs: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, dict[str, Any]]]:
    """Kind and forms; of neighbouring streams each becomes one text, since who is first is left to chance."""
    for streams, group in groupby(outputs, lambda output: output.get("output_type") == "stream"):
        if streams:
            texts: dict[str, list[str]] = {}
            for output in group:
                name = "stderr" if output.get("name") == "stderr" else "stdout"
                texts.setdefault(name, []).append(joined(output.get("text")))
            yield from ((name, {name: text}) for name in sorted(texts) if (text := "".join(texts[name])))
            continue
        for output in group:
            if output.get("output_type") == "error":
                words = f"{joined(output.get('ename'))}: {joined(output.get('evalue'))}"
                yield "error", {"error": words}
            elif isinstance(data := output.get("data"), dict):
                yield "result", data


def _compare_forms(
    place: int, one: Mapping[str, Any], other: Mapping[str, Any], tolerance: Tolerance
) -> Iterable[OutputVerdict]:
    for kind in {**other, **one}:
        name = visible(kind[:100])
        if kind not in other:
            yield OutputVerdict(place, name, ONLY_A)
        elif kind not in one:
            yield OutputVerdict(place, name, ONLY_B)
        else:
            found = _compare_form(kind, one[kind], other[kind], tolerance)
            yield OutputVerdict(place, name, found.verdict, found.note, found.relative, found.diff)


def _compare_form(kind: str, one: Any, other: Any, tolerance: Tolerance) -> Found:
    if isinstance(one, str) and one == other:
        return Found(EQUAL)
    if kind == _WIDGET:
        return Found(CLOSE, "a widget has another name in every process; its state is not compared")
    if kind.endswith("json"):
        return compare_texts(_json(one), _json(other), tolerance)
    if kind in KINDS:
        return compare_images(kind, joined(one), joined(other), tolerance.pixels)
    if kind == _SVG:
        one, other = (_DRAWN.sub("", joined(text)) for text in (one, other))
    if "/" not in kind or kind.startswith("text/") or kind in _TEXTS:
        return compare_texts(joined(one), joined(other), tolerance)
    return Found(EQUAL) if one == other else Found(DIFFERENT, "other bytes")


def _json(value: Any) -> str:
    """JSON with an item per line: keys in one order, and numbers compare as those of texts do."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
