"""``nbrewind kernels`` into folders of the tests' own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from cli.conftest import Command

ROOT = Path(__file__).resolve().parents[2]


def test_install_list_remove_for_the_user(nbrewind: Command, jupyter_data: Path, tmp_path: Path) -> None:
    ran = nbrewind("kernels", "install", "--user", "--suffix", "t1", "--json")
    user = tmp_path / "user-data" / "kernels"
    assert ran.code == 0
    assert ran.json["installed"] == [str(user / "nbrewind-audit-t1"), str(user / "nbrewind-repeat-t1")]
    listed = {spec["name"]: spec for spec in nbrewind("kernels", "list", "--json").json["kernels"]}
    assert listed["nbrewind-audit-t1"]["interpreter"] == sys.executable
    assert listed["nbrewind-audit-t1"]["display_name"] == "Python 3 (audit, t1)"
    assert "nbrewind-repeat-t1" in nbrewind("kernels", "list").out
    assert nbrewind("kernels", "remove", "--user", "--suffix", "t1").code == 0
    assert "no kernel" in nbrewind("kernels", "remove", "--user", "--suffix", "t1").out


def test_prefix(nbrewind: Command, tmp_path: Path) -> None:
    ran = nbrewind("kernels", "install", "--prefix", tmp_path / "p")
    assert ran.code == 0 and ran.out.count("installed") == 2
    spec = tmp_path / "p" / "share" / "jupyter" / "kernels" / "nbrewind-repeat" / "kernel.json"
    content = json.loads(spec.read_text("utf-8"))
    assert content["argv"][0] == sys.executable and content["env"] == {"PYTHONHASHSEED": "0"}


def test_bad_choices(nbrewind: Command, tmp_path: Path) -> None:
    assert nbrewind("kernels", "install").code == 2
    assert nbrewind("kernels", "install", "--user", "--prefix", tmp_path).code == 2
    assert nbrewind("kernels", "install", "--prefix", tmp_path, "--suffix", "../x").code == 2
    (tmp_path / "file").write_text("", "utf-8")
    ran = nbrewind("kernels", "install", "--prefix", tmp_path / "file")
    assert ran.code == 3 and "cannot be written" in ran.err


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_pip_install_makes_both_kernels_visible_and_sys_prefix_works(tmp_path: Path) -> None:
    """A wheel in an environment of its own: kernelspecs, command, and `--sys-prefix`."""
    place = tmp_path / "env"
    venv.create(place, with_pip=True)
    python = place / "bin" / "python"
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("JUPYTER", "PYTHON", "NBREWIND"))
    }
    environment["JUPYTER_DATA_DIR"] = str(tmp_path / "user-data")

    def run(*args: str) -> str:
        done = subprocess.run(
            [str(python), "-m", *args], capture_output=True, text=True, env=environment, cwd=tmp_path
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("pip", "install", "--quiet", "--disable-pip-version-check", str(ROOT))
    listed = json.loads(run("jupyter_client.kernelspecapp", "list", "--json"))["kernelspecs"]
    for mode in ("audit", "repeat"):
        spec = listed[f"nbrewind-{mode}"]
        assert Path(spec["resource_dir"]).is_relative_to(place)
        assert spec["spec"]["display_name"] == f"Python 3 ({mode})"
    run("nbrewind", "kernels", "install", "--sys-prefix", "--json")
    kernels = json.loads(run("nbrewind", "kernels", "list", "--json"))["kernels"]
    assert {Path(spec["interpreter"]).parent for spec in kernels} == {place / "bin"}
    assert (place / "bin" / "nbrewind").exists()
