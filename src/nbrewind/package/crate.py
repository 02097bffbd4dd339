"""The package as a Workflow Run RO-Crate: what it holds and how it came to be, for machines.

RO-Crate 1.1 with the profiles Process, Workflow and Provenance Run Crate 0.5.  The notebook is the workflow,
its cells are the steps and tools, each execution of the newest run is an action; tasks stay in ``logs/``.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import nbrewind
from nbrewind.model import Commit, Environment, Record, Run
from nbrewind.package import layout
from nbrewind.package.layout import File

PATH = "ro-crate-metadata.json"

_PROFILES = (
    ("https://w3id.org/ro/wfrun/process/0.5", "Process Run Crate", "0.5"),
    ("https://w3id.org/ro/wfrun/workflow/0.5", "Workflow Run Crate", "0.5"),
    ("https://w3id.org/ro/wfrun/provenance/0.5", "Provenance Run Crate", "0.5"),
    ("https://w3id.org/workflowhub/workflow-ro-crate/1.0", "Workflow RO-Crate", "1.0"),
)
_CONTEXT = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
_KERNEL = "https://arxiv.org/abs/2603.26965"
"""The paper of the system: validators ask for a page of the software."""
_PYTHON = "https://www.python.org/"
_TYPES = {
    ".ipynb": "application/x-ipynb+json",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".yml": "application/yaml",
    ".md": "text/markdown",
    ".py": "text/x-python",
    ".csv": "text/csv",
    ".txt": "text/plain",
    ".lock": "text/plain",
}

Entity = dict[str, Any]


def crate(
    *,
    name: str,
    notebook: str,
    cells: Sequence[tuple[str, str]],
    run: Run,
    commits: Sequence[tuple[Commit, Record]],
    files: dict[str, File],
    environment: Environment,
    license: str,
    author: str,
) -> bytes:
    """The metadata file.  ``cells`` are ids and sources of the notebook's code cells."""
    main = f"{layout.WORKFLOW}/{notebook}"
    graph = [
        *_root(name, main, files, license, author, ended=max((c.created for c, _ in commits), default=0.0)),
        *_workflow(main, cells, notebook),
        *_run(main, run, commits, [cell for cell, _ in cells], files),
        *_software(environment),
        *(_file(path, file) for path, file in sorted(files.items()) if path != main),
        *(
            _of(f"{folder}/", "Dataset", name=words)
            for folder, words in _FOLDERS.items()
            if any(path.startswith(f"{folder}/") for path in files)
        ),
    ]
    text = json.dumps({"@context": _CONTEXT, "@graph": graph}, indent=1, ensure_ascii=True, sort_keys=True)
    return text.encode("ascii") + b"\n"


_FOLDERS = {
    layout.CHECKPOINTS: "Values, outputs and history of the notebook's runs",
    "logs": "What cells and tasks did, a line each",
}


def _of(id_: str, type_: str | list[str], **values: Any) -> Entity:
    return {"@id": id_, "@type": type_, **values}


def _to(ids: Iterable[str]) -> list[dict[str, str]]:
    return [{"@id": one} for one in ids]


def _root(
    name: str, main: str, files: dict[str, File], license: str, author: str, ended: float
) -> list[Entity]:
    parts = [*sorted(files), *(f"{folder}/" for folder in _FOLDERS)]
    return [
        _of(
            PATH,
            "CreativeWork",
            about={"@id": "./"},
            conformsTo=_to(["https://w3id.org/ro/crate/1.1", _PROFILES[-1][0]]),
        ),
        _of(
            "./",
            "Dataset",
            name=name,
            description=f"The notebook {posixpath.basename(main)} with checkpoints, logs and environment.",
            datePublished=_moment(ended),
            license={"@id": license} if "://" in license else license,
            **({"author": {"@id": "#author"}} if author else {}),
            conformsTo=_to(profile for profile, _, _ in _PROFILES),
            mainEntity={"@id": main},
            mentions={"@id": "#run"},
            hasPart=_to(parts),
        ),
        *([_of("#author", "Person", name=author)] if author else []),
        *([_of(license, "CreativeWork", name=license, description="License")] if "://" in license else []),
        *(_of(id_, "CreativeWork", name=title, version=version) for id_, title, version in _PROFILES),
    ]


def _workflow(main: str, cells: Sequence[tuple[str, str]], notebook: str) -> list[Entity]:
    found = [
        _of(
            main,
            ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
            name=notebook,
            description="A Jupyter notebook whose cells are the steps",
            encodingFormat=_TYPES[".ipynb"],
            programmingLanguage={"@id": _PYTHON},
            step=_to(f"{main}#step-{cell}" for cell, _ in cells),
            hasPart=_to(f"{main}#{cell}" for cell, _ in cells),
        )
    ]
    for position, (cell, source) in enumerate(cells):
        first = next((line.strip() for line in source.splitlines() if line.strip()), "empty")[:80]
        found += [
            _of(f"{main}#step-{cell}", "HowToStep", position=position, workExample={"@id": f"{main}#{cell}"}),
            _of(
                f"{main}#{cell}",
                "SoftwareApplication",
                name=f"cell {position}: {first}",
                description="A cell of the notebook",
                url=main,
                version=nbrewind.__version__,
            ),
        ]
    return found


def _run(
    main: str,
    run: Run,
    commits: Sequence[tuple[Commit, Record]],
    cells: Sequence[str],
    files: dict[str, File],
) -> list[Entity]:
    started = run.started or min((commit.created for commit, _ in commits), default=0.0)
    ended = run.ended or max((commit.created for commit, _ in commits), default=started)
    actions, controls = [], []
    for number, (commit, record) in enumerate(commits):
        if not 0 <= commit.index < len(cells):
            continue
        cell = cells[commit.index]
        action, control = f"#action-{number}", f"#control-{number}"
        read = [_file_of(path, files) for path in record.trace.files]
        actions.append(
            _of(
                action,
                "CreateAction",
                name=f"cell {commit.index} {commit.action}",
                instrument={"@id": f"{main}#{cell}"},
                agent={"@id": "#kernel"},
                startTime=_moment(commit.created - record.seconds),
                endTime=_moment(commit.created),
                object=_to(path for path in read if path),
                actionStatus={"@id": _status(record)},
                **({"error": record.error.ename} if record.error is not None else {}),
            )
        )
        controls.append(
            _of(
                control,
                "ControlAction",
                name=f"step {commit.index}",
                instrument={"@id": f"{main}#step-{cell}"},
                object={"@id": action},
            )
        )
    inputs = sorted({one["@id"] for action in actions for one in action["object"]})
    return [
        _of(
            "#run",
            "CreateAction",
            name=f"run of {posixpath.basename(main)}",
            instrument={"@id": main},
            agent={"@id": "#kernel"},
            startTime=_moment(started),
            endTime=_moment(ended),
            object=_to(inputs),
            result=_to(f"{folder}/" for folder in _FOLDERS),
        ),
        _of(
            "#orchestration",
            "OrganizeAction",
            name="the kernel ran the cells",
            instrument={"@id": "#kernel"},
            startTime=_moment(started),
            endTime=_moment(ended),
            object=_to(control["@id"] for control in controls),
            result={"@id": "#run"},
        ),
        *actions,
        *controls,
    ]


def _status(record: Record) -> str:
    return (
        "http://schema.org/FailedActionStatus" if record.error else "http://schema.org/CompletedActionStatus"
    )


def _file_of(path: str, files: dict[str, File]) -> str:
    """Where an input is in the package, empty where it is not."""
    places = (f"{layout.DATA}/{path}", f"{layout.WORKFLOW}/{path}")
    return next((place for place in places if place in files), "")


def _software(environment: Environment) -> list[Entity]:
    return [
        _of(
            "#kernel",
            "SoftwareApplication",
            name="nbrewind",
            url=_KERNEL,
            version=nbrewind.__version__,
            softwareRequirements={"@id": layout.ENVIRONMENT},
        ),
        _of(
            _PYTHON,
            ["ComputerLanguage", "SoftwareApplication"],
            name="Python",
            version=environment.python,
            url=_PYTHON,
        ),
    ]


def _file(path: str, file: File) -> Entity:
    kind = _TYPES.get(posixpath.splitext(path)[1], "application/octet-stream")
    return _of(
        path,
        "File",
        name=posixpath.basename(path),
        encodingFormat=kind,
        contentSize=str(file.size),
        sha256=file.sha256,
    )


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(round(seconds), UTC).isoformat()
