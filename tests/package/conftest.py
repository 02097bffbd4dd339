"""The command line in this process, and small packages that need no kernel."""

from __future__ import annotations

import json
from pathlib import Path

from nbformat.v4 import new_code_cell, new_notebook

from cli.conftest import Command, folder, nbrewind
from nbrewind.flow.code import source_key
from nbrewind.model import Commit, Delta, FileState, Record, Run, TaskEntry, Trace, Version
from nbrewind.package.layout import name_for
from nbrewind.package.pack import Request, pack
from nbrewind.store import Store
from nbrewind.values.images import MAGIC, Header

__all__ = ["Command", "folder", "make_package", "nbrewind"]


def make_package(target: Path, text: str = "one", history: int = 1) -> Path:
    """A package of a notebook with one cell, as if it had run: a value, an output, a file and a task."""
    import msgspec
    import nbformat

    work = target.parent / f".{target.stem}-{text}-work"
    work.mkdir()
    notebook = work / "x.ipynb"
    source = f"x = {text!r}\nprint(x)"
    nbformat.write(new_notebook(cells=[new_code_cell(source, id="c0")]), notebook)
    (work / "in.csv").write_text(text)
    store = Store.open(work / ".nbrewind")
    block = store.put(text.encode() * 1000)
    image = store.put(MAGIC + msgspec.msgpack.encode(Header(b"not a pickle", [[block]])))
    outputs = store.put(
        json.dumps([{"type": "stream", "content": {"name": "stdout", "text": text}}]).encode()
    )
    read = FileState("file", store.put_file(str(work / "in.csv")), len(text), 0o644)
    for number in range(history):
        mark = f"{number:x}"
        record = Record(
            mark * 32,
            source_key(source),
            source,
            Trace(files={"in.csv": read}),
            Delta(names={"x": Version("d" * 32, image)}, files={"out.csv": read}),
            outputs=outputs,
            tasks=("e" * 32,),
        )
        store.add_record(record)
        run = Run(
            "b" * 31 + mark, str(notebook), started=1.0, ended=2.0, head="c" * 31 + mark, status="ended"
        )
        store.start_run(run)
        store.add_commit(Commit(run.head, "", run.id, record.id, "executed", 1, "c0", 0, 1.5))
    store.add_task(TaskEntry("e" * 32, "f", store.put(b"Pnot a pickle"), worker="tcp://10.1.2.3:4567"))
    store.flush()
    pack(store, Request(notebook, target, name=name_for(target)), MAGIC)
    store.close()
    return target
