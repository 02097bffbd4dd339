"""A kernel that behaves towards the client as ours do, without recording anything.

It answers each cell with a report, ``%rewind finish`` with a payload, and asks once to start
over when a cell says so.  It writes down the metadata of every request that it gets.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp


class FakeKernel(IPythonKernel):
    """See the module."""

    async def do_execute(
        self,
        code: str,
        silent: bool,
        store_history: bool = True,
        user_expressions: dict[str, Any] | None = None,
        allow_stdin: bool = False,
        *,
        cell_meta: dict[str, Any] | None = None,
        cell_id: str | None = None,
    ) -> dict[str, Any]:
        if os.environ.get("FAKE_JOURNAL"):
            with open(os.environ["FAKE_JOURNAL"], "a", encoding="utf-8") as journal:
                options = json.loads(os.environ["NBREWIND_OPTIONS"])
                entry = {"code": code, "silent": silent, "meta": cell_meta, "id": cell_id, "options": options}
                journal.write(json.dumps({**entry, "cwd": os.getcwd()}) + "\n")
        self._asked = (cell_meta or {}).get("nbrewind")
        self._code = code
        if code == "%rewind finish":
            reply = await super().do_execute("pass", True, False)
            reply["payload"] = [{"source": "nbrewind", "data": {"failures": [], "notes": ["fine"]}}]
            return reply
        return await super().do_execute(
            code, silent, store_history, user_expressions, allow_stdin, cell_meta=cell_meta, cell_id=cell_id
        )

    def finish_metadata(
        self, parent: dict[str, Any], metadata: dict[str, Any], reply_content: dict[str, Any]
    ) -> dict[str, Any]:
        metadata = super().finish_metadata(parent, metadata, reply_content)
        if self._asked is not None:
            failed = reply_content["status"] == "error"
            restored = "restored" in self._code and not self._asked["force"]
            report = {
                "index": -1,
                "cell_id": "",
                "action": "failed" if failed else "restored" if restored else "executed",
                "reason": "trace holds" if restored else "no record",
                "recorded_seconds": 7.5 if restored else None,
                "tasks": {"served": 3 if restored else 0, "run": 0, "failed": 0},
            }
            if "start_over" in self._code and not self._asked["force"]:
                report["start_over"] = [self._asked["index"]]
            metadata["nbrewind"] = report
        return metadata


if __name__ == "__main__":
    if sys.argv[1:2] == ["nbrewind.kernel"]:  # the command line accepts kernels of ours only
        del sys.argv[1:4]
    IPKernelApp.launch_instance(kernel_class=FakeKernel)
