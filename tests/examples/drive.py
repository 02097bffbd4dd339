"""Run a notebook's cells the way one kind of client does; a script, so that each run is a new process.

``drive.py WAY KERNEL NOTEBOOK OUT`` with WAY ``lab`` (messages as JupyterLab sends them, with
cellId), ``nbclient`` or ``papermill`` (which send no cell id).  Writes the executed notebook to
OUT and prints the cell reports found in the replies as JSON; papermill hides the replies, so
its list is empty.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import nbformat


def through_lab(kernel: str, notebook: Path, out: Path) -> list[dict[str, Any]]:
    """One execute_request per code cell, metadata as JupyterLab 4.6 sends it."""
    from jupyter_client.manager import KernelManager
    from nbformat.v4 import output_from_msg

    content = nbformat.read(notebook, as_version=4)
    manager = KernelManager(kernel_name=kernel)
    manager.start_kernel(cwd=str(notebook.parent))
    client = manager.blocking_client()
    client.start_channels()
    reports: list[dict[str, Any]] = []
    try:
        client.wait_for_ready(timeout=60)
        for cell in content.cells:
            if cell.cell_type != "code":
                continue
            message = client.session.msg(
                "execute_request",
                {
                    "code": cell.source,
                    "silent": False,
                    "store_history": True,
                    "user_expressions": {},
                    "allow_stdin": True,
                    "stop_on_error": True,
                },
                metadata={"cellId": cell.id, "deletedCells": [], "recordTiming": False, "trusted": True},
            )
            wanted = message["header"]["msg_id"]
            client.shell_channel.send(message)
            cell.outputs = []
            while True:
                seen = client.get_iopub_msg(timeout=300)
                if seen["parent_header"].get("msg_id") != wanted:
                    continue
                kind = seen["msg_type"]
                if kind == "status" and seen["content"]["execution_state"] == "idle":
                    break
                if kind in ("stream", "display_data", "execute_result", "error"):
                    cell.outputs.append(output_from_msg(seen))
            reply = client.get_shell_msg(timeout=60)
            while reply["parent_header"].get("msg_id") != wanted:
                reply = client.get_shell_msg(timeout=60)
            cell.execution_count = reply["content"].get("execution_count")
            reports.append(reply["metadata"].get("nbrewind", {}))
            if reply["content"]["status"] != "ok":
                break
    finally:
        client.stop_channels()
        manager.shutdown_kernel()
    nbformat.write(content, out)
    return reports


def through_nbclient(kernel: str, notebook: Path, out: Path) -> list[dict[str, Any]]:
    """Plain nbclient: empty metadata, no cell id."""
    from nbclient import NotebookClient

    content = nbformat.read(notebook, as_version=4)
    reports: list[dict[str, Any]] = []

    def keep(cell: Any, cell_index: int, execute_reply: dict[str, Any]) -> None:
        reports.append(execute_reply["metadata"].get("nbrewind", {}))

    client = NotebookClient(content, kernel_name=kernel, timeout=300, on_cell_executed=keep)
    client.resources = {"metadata": {"path": str(notebook.parent)}}
    client.execute()
    nbformat.write(content, out)
    return reports


def through_papermill(kernel: str, notebook: Path, out: Path) -> list[dict[str, Any]]:
    """Papermill without parameters."""
    import papermill

    papermill.execute_notebook(
        str(notebook), str(out), kernel_name=kernel, cwd=str(notebook.parent), progress_bar=False
    )
    return []


WAYS = {"lab": through_lab, "nbclient": through_nbclient, "papermill": through_papermill}

if __name__ == "__main__":
    way, kernel, notebook, out = sys.argv[1:5]
    print(json.dumps(WAYS[way](kernel, Path(notebook), Path(out))))
