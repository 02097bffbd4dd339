"""Compares what a plain kernel and one of ours ended with: values, sharing, outputs, files.

Independent of the package on purpose: no digest of ours is asked.  ``describe.py`` is executed inside both
kernels; here the two graphs are matched by a one-to-one map of nodes, so that every sharing of objects
between names counts and no numbering does.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,}")
CELL_FILE = re.compile(r"ipykernel_\d+")
"""The folder in which ipykernel says that cells are, by process."""
COUNTED = re.compile(r"\b(Thread|Task|ThreadPoolExecutor)-\d+")
"""Names that number what a process has made of a kind, a front end's and IPython's own included."""
COLLECTED = re.compile(
    r"^.*RuntimeWarning: coroutine '.*' was never awaited\n(?:  .*\n)?(?:RuntimeWarning: Enable tracemalloc.*\n)?",
    re.MULTILINE,
)
"""What the interpreter says when it frees a coroutine, which is whenever the collector comes by."""
TIMINGS = re.compile(r"^(CPU times|Wall time|Compiler time|Parser).*$", re.M)
LIMIT = 12
UNAVAILABLE = "cannot be had here"
"""Marks a name that the kernel refused to give, openly, with the reason."""

DESCRIBE = (Path(__file__).with_name("describe.py")).read_text(encoding="utf-8")


def describe_expression(root: str, seeded: Sequence[str]) -> str:
    """An expression that describes the namespace it is evaluated in, and binds no name there."""
    return (
        f"(lambda g: (__import__('builtins').exec({DESCRIBE!r}, g), g['describe']({root!r}, {tuple(seeded)!r}))[1])"
        "({'__name__': 'describe_namespace'})"
    )


class _Match:
    def __init__(self, left: Mapping[str, Any], right: Mapping[str, Any]) -> None:
        self.left = left
        self.right = right
        self.forward: dict[tuple[str, int], tuple[int, str]] = {}
        self.backward: dict[tuple[str, int], tuple[int, str]] = {}
        self.found: list[str] = []

    def pair(self, mark: str, a: int, b: int, path: str) -> bool:
        """Whether the pair is new; a clash with an earlier pair is a difference in sharing."""
        known, other = self.forward.get((mark, a)), self.backward.get((mark, b))
        if known is None and other is None:
            self.forward[mark, a] = (b, path)
            self.backward[mark, b] = (a, path)
            return True
        if known is not None and known[0] != b:
            self.found.append(f"{path}: the same object as {known[1]} in the reference, another one here")
        elif other is not None and other[0] != a:
            self.found.append(f"{path}: the same object as {other[1]} here, another one in the reference")
        return False

    def walk(self, a: Any, b: Any, path: str) -> None:
        if len(self.found) >= LIMIT:
            return
        if isinstance(a, list) and isinstance(b, list):
            if len(a) == 2 == len(b) and a[0] == "@" == b[0]:
                if self.pair("@", a[1], b[1], path):
                    self.walk(self.left["nodes"][a[1]], self.right["nodes"][b[1]], path)
                return
            if len(a) == 3 == len(b) and a[0] == "mem" == b[0]:
                self.pair("mem", a[1], b[1], path + "<memory>")
                if a[2] != b[2]:
                    self.found.append(f"{path}: at byte {a[2]} of its memory, here at {b[2]}")
                return
            if len(a) != len(b):
                self.found.append(
                    f"{path}: {brief(a, self.left)} in the reference, {brief(b, self.right)} here"
                )
                return
            for i, (x, y) in enumerate(zip(a, b, strict=True)):
                self.walk(x, y, f"{path}.{i}")
            return
        if a != b:
            self.found.append(f"{path}: {brief(a, self.left)} in the reference, {brief(b, self.right)} here")


def brief(form: Any, graph: Mapping[str, Any]) -> str:
    """A short form of a description for messages."""
    if isinstance(form, list) and len(form) == 2 and form[0] == "@":
        form = graph["nodes"][form[1]]
    text = str(form)
    return text if len(text) < 160 else text[:157] + "..."


def values(
    reference: Mapping[str, Any],
    other: Mapping[str, Any],
    *,
    without: Collection[str] = (),
    results: bool = True,
) -> list[str]:
    """Differences between two descriptions, empty where they are equal.

    ``without`` names roots (``x``, ``Out[3]``, ``ambient:cwd``) that are not compared; ``results`` says
    whether the history of displayed values is.
    """
    match = _Match(reference, other)
    sections = ("names", "results") if results else ("names",)
    for section in sections:
        left, right = reference[section], other[section]
        for name in sorted({*left, *right}):
            if name in without:
                continue
            if name not in left:
                match.found.append(f"{name}: absent in the reference, here {brief(right[name], other)}")
            elif name not in right:
                match.found.append(f"{name}: {brief(left[name], reference)} in the reference, absent here")
            elif right[name][0] == "unavailable" != left[name][0]:
                match.found.append(f"{name}: {UNAVAILABLE} ({right[name][1]})")
            else:
                match.walk(left[name], right[name], name)
    for key in sorted({*reference["ambient"], *other["ambient"]}):
        if f"ambient:{key}" not in without and reference["ambient"].get(key) != other["ambient"].get(key):
            match.found.append(
                f"ambient:{key}: {reference['ambient'].get(key)} in the reference, {other['ambient'].get(key)} here"
            )
    return match.found


def roots_of(differences: Sequence[str]) -> set[str]:
    """The roots that a list of differences names."""
    found = set()
    for line in differences:
        head = line.split(": ", 1)[0]
        found.add(head if head.startswith("ambient:") else re.split(r"[.<]", head)[0])
    return found


def drawn(one: Mapping[str, Any], other: Mapping[str, Any]) -> set[str]:
    """The roots that differ between two runs of the same cells, with all that share what differs."""
    found: set[str] = set()
    while more := roots_of(values(one, other, without=found)) - found:
        found |= more
    return found


def outputs(messages: Sequence[Mapping[str, Any]], root: str = "") -> list[Any]:
    """Output messages in a form that may be compared: streams joined, addresses and timings masked."""
    result: list[Any] = []
    display_ids: dict[str, int] = {}

    def masked(value: Any) -> Any:
        if isinstance(value, str):
            text = value.replace(root, "<root>") if root else value
            text = CELL_FILE.sub("ipykernel_<pid>", ADDRESS.sub("0x<address>", text))
            text = COUNTED.sub(r"\1-<number>", text)
            return TIMINGS.sub(r"\1 <time>", text)
        if isinstance(value, dict):
            return {k: masked(v) for k, v in value.items()}
        return value

    for message in messages:
        kind, content = message["msg_type"], message["content"]
        if kind == "stream":
            if result and result[-1][0] == "stream" and result[-1][1] == content["name"]:
                result[-1][2] += content["text"]
            else:
                result.append(["stream", content["name"], content["text"]])
        elif kind == "error":
            result.append(["error", content["ename"], masked(content["evalue"])])
        elif kind == "clear_output":
            result.append(["clear_output", content.get("wait", False)])
        elif kind in ("execute_result", "display_data", "update_display_data"):
            name = content.get("transient", {}).get("display_id")
            number = None if name is None else display_ids.setdefault(name, len(display_ids))
            count = content.get("execution_count")
            result.append([kind, masked(content["data"]), content.get("metadata", {}), number, count])
    for item in result:
        if item[0] == "stream":
            item[2] = masked(COLLECTED.sub("", item[2]))
    return [item for item in result if item[0] != "stream" or item[2]]
