"""``python -m tests.browser.run``: the report in headless Chromium (`make test-browser`).

Three pages (everyday, hostile, large) are opened with the page's own security policy in force:
nothing of the outputs may run or be asked for, every view must pass axe-core in light and dark,
and the choices on the page must work.  Says why where it cannot run here.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from support.reports import everyday, hostile, large

HERE = Path(__file__).parent
CHROMIUM = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
BUDGET = 3.0
"""Seconds in which the large page should have loaded, on a machine that does nothing else."""


def main(arguments: list[str] | None = None) -> int:
    """0 if all is well or the tools are missing, 1 if something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser.run", description=__doc__)
    parser.add_argument("--modules", type=Path, required=True, help="folder with node_modules")
    parser.add_argument("--pictures", type=Path, help="put a picture of each view here")
    parser.add_argument("--tasks", type=int, default=100_000, help="tasks of the large page")
    options = parser.parse_args(arguments)
    chromium = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    node = shutil.which("node")
    if chromium is None or node is None:
        missing = "Chromium" if chromium is None else "node"
        print(f"skipped: there is no {missing} here (Debian: apt install chromium nodejs npm)")
        return 0
    with tempfile.TemporaryDirectory(prefix="nbrewind-pages-") as name:
        pages = _pages(Path(name), options.tasks)
        if options.pictures:
            options.pictures.mkdir(parents=True, exist_ok=True)
        job = Path(name) / "job.json"
        pictures = str(options.pictures.absolute()) if options.pictures else ""
        job.write_text(json.dumps({"pages": pages, "pictures": pictures}))
        command = [node, str(HERE / "check.mjs"), chromium, str(options.modules.absolute()), str(job)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        print(f"the browser's driver ended with {done.returncode}", file=sys.stderr)
        return 1
    return _tell(json.loads(done.stdout))


def _pages(folder: Path, tasks: int) -> list[dict[str, object]]:
    pages: list[dict[str, object]] = []
    for make in (everyday, hostile, lambda place: large(place, tasks=tasks)):
        place = folder / str(len(pages))
        place.mkdir()
        notebook = make(place)
        target = place / "page.html"
        subprocess.run(
            [sys.executable, "-m", "nbrewind", "report", str(notebook), "-o", str(target)], check=True
        )
        kind = notebook.stem
        pages.append(
            {"name": kind, "path": str(target), "hostile": kind == "hostile", "large": kind == "large"}
        )
    return pages


def _tell(found: dict[str, list[object]]) -> int:
    for figure in found["figures"]:
        assert isinstance(figure, dict)
        times = {name: f"{value / 1000:.2f} s" for name, value in figure["milliseconds"].items()}
        print(
            f"{figure['page']}: loaded in {times.pop('load')} (budget {BUDGET} s), CPU {times.pop('cpu')}; {times}"
        )
    for failure in found["failures"]:
        print(f"FAILED {failure}")
    print("the page is sound" if not found["failures"] else f"{len(found['failures'])} failures")
    return 1 if found["failures"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
