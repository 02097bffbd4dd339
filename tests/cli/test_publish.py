"""docs/publish.md, done by the letter: each command of its consoles, in two new folders, and what it prints."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/publish.md"
READER = "## What the reader does"

pytestmark = [pytest.mark.real_kernel, pytest.mark.slow, pytest.mark.timeout(1200)]


def consoles(text: str) -> list[tuple[str, list[str]]]:
    """Commands and the lines shown below them."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def shape(line: str) -> str:
    """A line without what differs between two runs: times, digests and blanks.  Counts stay."""
    line = re.sub(r"\d+(\.\d+)?( ms| s| min| h)\b", "TIME", line)
    line = re.sub(r"sha256 \w+|\d+ objects \([^)]*\)", "CONTENT", line)
    return " ".join(line.split())


def shown(lines: list[str], said: str) -> bool:
    """Whether ``said`` has the shown lines in this order; ``…`` stands for any."""
    parts = [
        ".*" if part == "…" else re.escape(part) for part in re.split("(…)", "\n".join(map(shape, lines)))
    ]
    pattern = "".join(parts).replace(r"\ ", " ")
    return re.fullmatch(pattern, "\n".join(map(shape, said.splitlines())), re.DOTALL) is not None


def test_the_page_can_be_followed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / ".ssh/id_ed25519")]
    subprocess.run(key, check=True)
    author, reader = tmp_path / "author", tmp_path / "reader"
    author.mkdir()
    reader.mkdir()
    shutil.copy(ROOT / "examples/mapreduce.ipynb", author)
    surroundings = {
        **os.environ,
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    first, mark, second = PAGE.read_text(encoding="utf-8").partition(READER)
    assert mark
    for folder, part in ((author, first), (reader, second)):
        commands = consoles(part)
        assert len(commands) >= 6
        for command, lines in commands:
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=folder,
                env=surroundings,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=280,
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}"
            assert shown(lines, done.stdout), f"{command}\n{done.stdout}"
        if folder == author:
            shutil.copy(author / "heat.zip", reader)
