"""The files that make a package a Floability backpack: data, compute and a word for people.

Floability knows only TaskVine's factory in ``compute.yml``; other engines get a file of their own beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from nbrewind.package import layout
from nbrewind.package.layout import File, Input, Manifest

_FACTORY = {"min-workers": 0, "max-workers": 1, "cores": 1, "memory": 2048, "disk": 4096, "timeout": 300}


def data_yml(
    inputs: Mapping[str, Input],
    files: Mapping[str, File],
    sources: Mapping[str, str],
    checkpoints: Iterable[str],
) -> bytes:
    """Inputs and checkpoints by content, and where to get what is not in the package."""
    data, described = [], []
    for name, one in inputs.items():
        if one.kind != "file":
            continue
        if one.file:
            data.append(_item(name, {"source": one.file, "source_type": "backpack"}, files[one.file], name))
        elif name in sources:
            kind = sources[name].partition("://")[0].replace("https", "http")
            known = {"source": sources[name], "source_type": kind, "target_location": name}
            data.append({"name": name, **known, "expected_size": one.size, "blake3": one.digest})
        else:
            described.append({"name": name, "expected_size": one.size, "blake3": one.digest})
    for path in checkpoints:
        data.append(_item(path, {"source": path, "source_type": "backpack"}, files[path], path))
    content: dict[str, Any] = {
        "schema_version": 1.0,
        "default_profile": "default",
        "profiles": {
            "default": {"policy": {"run_operation": "fetch", "verification_type": "strict"}, "data": data}
        },
    }
    if described:
        content["described"] = described
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode("utf-8")


def _item(name: str, source: dict[str, Any], file: File, target: str) -> dict[str, Any]:
    size = {"expected_size": file.size, "checksum": f"sha256:{file.sha256}"}
    return {"name": name, **source, "target_location": target, **size}


def compute_yml() -> bytes:
    """What Floability starts workers with, where the notebook uses TaskVine."""
    return yaml.safe_dump({"vine_factory_config": _FACTORY}, sort_keys=False).encode("utf-8")


def engine_yml(engine: str, tasks: int, seconds: float) -> bytes:
    """What is known of another engine: how much work it did."""
    content = {"engine": engine, "recorded": {"tasks": tasks, "task_seconds": round(seconds, 3)}}
    return yaml.safe_dump(content, sort_keys=False).encode("utf-8")


def readme(manifest: Manifest, tasks: int, notes: Iterable[str]) -> bytes:
    """What somebody sees who opens the package with no tool at all."""
    lines = [
        f"# {manifest.name}",
        "",
        f"The notebook `{layout.WORKFLOW}/{manifest.notebook}` with what it recorded when it ran: "
        f"{manifest.rows['record']} executions of cells and {tasks} tasks.",
        "",
        "```",
        "pip install nbrewind",
        "nbrewind verify PACKAGE              # looks, executes nothing",
        "nbrewind repeat PACKAGE --trust      # the same results, without running what did not change",
        "```",
        "",
        "Values in `checkpoints/` are Python pickles: loading them runs code. Trust them only if you trust",
        "the author, or let the author sign the package (`nbrewind sign`).",
        "",
        "| folder | holds |",
        "|---|---|",
        f"| `{layout.WORKFLOW}/` | the notebook and helper modules |",
        "| `software/` | the environment, for conda and for pip or uv |",
        "| `data/` | inputs, or where to get them |",
        "| `compute/` | what the engines need |",
        "| `checkpoints/` | values, outputs and history |",
        "| `logs/` | cells and tasks, a line each |",
        "| `ro-crate-metadata.json` | all of this for machines |",
        *["", *(f"* {note}" for note in notes)],
    ]
    return ("\n".join(lines).rstrip() + "\n").encode("utf-8")
