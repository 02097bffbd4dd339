"""A package made here gives the recorded results in another folder, without a cell running."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from cli.conftest import Command, save_book
from nbrewind.kernel.notebook import read_notebook
from nbrewind.package import layout

pytestmark = pytest.mark.real_kernel

CELLS = (
    "import helper\nfrom pathlib import Path",
    "rows = [int(line) for line in open('data/in.txt')]",
    "big = bytearray(5_000_000)\nbig[::1000] = b'x' * 5000\ntotal = helper.double(sum(rows))\ntotal",
    "Path('out').mkdir(exist_ok=True)\nPath('out/total.txt').write_text(str(total))",
    "class Box:\n    def __init__(self, value):\n        self.value = value\nbox = Box(total)",
    "print(box.value, len(big))",
)


@pytest.fixture
def packed(nbrewind: Command, folder: Path) -> Path:
    """An audited notebook with a helper module and an input, as a folder package."""
    (folder / "data").mkdir()
    (folder / "data/in.txt").write_text("1\n2\n3\n")
    (folder / "helper.py").write_text("def double(x):\n    return 2 * x\n")
    path = save_book(folder / "x.ipynb", *CELLS)
    assert nbrewind("audit", path, "--json").code == 0
    assert nbrewind("pack", path, "-o", "paper", "--json").code == 0
    return folder / "paper"


def actions(content: dict[str, object]) -> list[str]:
    cells = content["cells"]
    assert isinstance(cells, list)
    return [cell["action"] for cell in cells]


def test_a_package_repeats_in_another_folder(
    nbrewind: Command, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert nbrewind("verify", packed, "--json").json["problems"] == []
    site = tmp_path / "site"
    site.mkdir()
    shutil.move(packed, site / "paper")
    shutil.rmtree(packed.parent)  # nothing of the first site is left
    site_notebook = site / "paper-repeat/x.ipynb"
    monkeypatch.chdir(site)
    refused = nbrewind("repeat", "paper")
    assert refused.code == 5 and "--trust" in refused.err
    repeated = nbrewind("repeat", "paper", "--trust", "--engine", "none", "--json").json
    assert actions(repeated) == ["restored"] * len(CELLS), repeated["cells"]
    assert read_notebook(site_notebook).cells[-1].outputs[0]["text"] == "12 5000000\n"
    assert (site / "paper-repeat/out/total.txt").read_text() == "12"
    (site / "paper-repeat/data/in.txt").write_text("1\n2\n")
    edited = nbrewind("repeat", site_notebook, "--json").json
    assert actions(edited)[0] == "restored" and actions(edited)[1] == "executed"
    assert (site / "paper-repeat/out/total.txt").read_text() == "6"


def test_equal_content_gives_equal_bytes_in_a_zip(nbrewind: Command, packed: Path) -> None:
    for name in ("a", "b"):
        (packed.parent / name).mkdir()
        assert nbrewind("pack", packed.parent / "x.ipynb", "-o", f"{name}/paper.zip").code == 0
    one, other = packed.parent / "a/paper.zip", packed.parent / "b/paper.zip"
    assert one.read_bytes() == other.read_bytes()
    assert nbrewind("verify", one).code == 0
    with zipfile.ZipFile(one) as archive:
        inside = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    folder = {str(p.relative_to(packed)): p.read_bytes() for p in packed.rglob("*") if p.is_file()}
    assert inside == folder


def test_nothing_names_the_place_where_it_was_made(packed: Path) -> None:
    here = str(packed.parent).encode()
    for path in packed.rglob("*"):
        assert path.is_dir() or here not in path.read_bytes(), path


def test_an_input_that_is_not_needed_may_be_missing(nbrewind: Command, packed: Path) -> None:
    notebook = packed.parent / "x.ipynb"
    assert nbrewind("pack", notebook, "-o", "lean.zip", "--with-data", "none").code == 0
    opened = nbrewind("unpack", "lean.zip", "--trust", "-o", "other", "--json").json
    assert opened["missing"] == ["data/in.txt"]
    assert not (packed.parent / "other/data/in.txt").exists()
    repeated = nbrewind("repeat", packed.parent / "other/x.ipynb", "--json").json
    assert actions(repeated) == ["restored"] * len(CELLS)
    needed = nbrewind("repeat", packed.parent / "other/x.ipynb", "--force", "1", "--json")
    assert needed.code == 1 and "data/in.txt" in str(needed.json["cells"][1]["warnings"])


def test_what_was_stripped_runs_again(nbrewind: Command, packed: Path) -> None:
    notebook = packed.parent / "x.ipynb"
    assert nbrewind("pack", notebook, "-o", "lean", "--strip", "results").code == 0
    assert nbrewind("verify", "lean").code == 0
    repeated = nbrewind("repeat", "lean", "--trust", "--json").json
    assert "executed" in actions(repeated) and repeated["status"] == "ok"
    manifest = json.loads((packed.parent / "lean" / layout.MANIFEST).read_bytes())
    assert manifest["object_bytes"] < 100_000


def test_the_place_must_be_free(nbrewind: Command, packed: Path) -> None:
    again = nbrewind("pack", packed.parent / "x.ipynb", "-o", "paper")
    assert again.code == 4 and "exists already" in again.err
    (packed.parent / "paper-repeat").mkdir()
    assert nbrewind("repeat", "paper", "--trust").code == 4
