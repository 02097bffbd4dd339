"""Kernelspecs: ours, where they go, and which notebooks are refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager
from nbformat.v4 import new_notebook

from nbrewind.errors import NotebookError, UsageError
from nbrewind.kernel import specs
from support.jupyter import add_spec


@pytest.mark.parametrize("mode", specs.MODES)
def test_the_specs_in_the_package(mode: specs.Mode) -> None:
    spec = specs.SpecManager().get_kernel_spec(specs.kernel_name(mode))
    assert spec.display_name == f"Python 3 ({mode})"
    assert spec.argv == [sys.executable, "-m", "nbrewind.kernel", "--mode", mode, "-f", "{connection_file}"]
    assert spec.env == {"PYTHONHASHSEED": "0"} and spec.metadata["debugger"] is True


def test_jupyter_sees_both_kernels_of_this_environment() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "jupyter_client.kernelspecapp", "list", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)["kernelspecs"]
    assert {"nbrewind-audit", "nbrewind-repeat"} <= set(found)
    assert found["nbrewind-audit"]["spec"]["argv"][0] == "python"  # replaced by Jupyter's own interpreter


def test_ours_come_first_even_if_the_user_has_another_of_the_same_name(jupyter_data: Path) -> None:
    add_spec(jupyter_data, "nbrewind-audit", argv=["/other/python", "-m", "nbrewind.kernel"])
    assert specs.SpecManager().get_kernel_spec("nbrewind-audit").argv[0] == sys.executable


@pytest.mark.parametrize("suffix", ["", "py3"])
def test_install_and_remove(tmp_path: Path, suffix: str) -> None:
    folder = specs.kernels_folder(prefix=str(tmp_path))
    assert folder == tmp_path / "share" / "jupyter" / "kernels"
    written = specs.install(folder, suffix=suffix)
    assert specs.install(folder, suffix=suffix) == written  # again: replaces
    manager = KernelSpecManager(kernel_dirs=[str(folder)])
    manager.ensure_native_kernel = False
    tail = f"-{suffix}" if suffix else ""
    assert set(manager.find_kernel_specs()) == {f"nbrewind-audit{tail}", f"nbrewind-repeat{tail}"}
    spec = manager.get_kernel_spec(f"nbrewind-repeat{tail}")
    assert spec.argv[0] == sys.executable
    assert specs.remove(folder, suffix=suffix) == written
    assert specs.remove(folder, suffix=suffix) == [] and list(folder.iterdir()) == []


def test_exactly_one_place(jupyter_data: Path, tmp_path: Path) -> None:
    assert specs.kernels_folder(user=True) == tmp_path / "user-data" / "kernels"
    assert specs.kernels_folder(sys_prefix=True).is_relative_to(sys.prefix)
    for choice in ({}, {"user": True, "sys_prefix": True}, {"user": True, "prefix": "/x"}):
        with pytest.raises(UsageError, match="Choose one place"):
            specs.kernels_folder(**choice)  # type: ignore[arg-type]


def test_the_list_names_interpreters_that_are_gone(jupyter_data: Path) -> None:
    add_spec(
        jupyter_data, "old", argv=["/gone/python", "-m", "nbrewind.kernel", "--mode", "audit", "-f", "x"]
    )
    add_spec(jupyter_data, "foreign", argv=["/gone/python", "-m", "ipykernel", "-f", "x"])
    (jupyter_data / "kernels" / "broken").mkdir()
    (jupyter_data / "kernels" / "broken" / "kernel.json").write_text("no json", "utf-8")
    found = {spec.name: spec for spec in specs.installed()}
    assert found["old"].usable is False and found["old"].mode == "audit"
    assert "foreign" not in found and "broken" not in found


def test_other_languages_are_refused() -> None:
    for metadata in (
        {"kernelspec": {"name": "ir", "display_name": "R", "language": "R"}},
        {"language_info": {"name": "julia"}},
        {"kernelspec": {"name": "x", "display_name": "x"}, "language_info": {"name": "scala"}},
    ):
        with pytest.raises(NotebookError, match="Python notebooks only"):
            specs.check_notebook_kernel(new_notebook(metadata=metadata))


def test_another_language_is_known_from_the_installed_kernelspec(jupyter_data: Path) -> None:
    add_spec(jupyter_data, "bash", argv=["bash_kernel"], language="bash")
    with pytest.raises(NotebookError, match="written in bash"):
        specs.check_notebook_kernel(
            new_notebook(metadata={"kernelspec": {"name": "bash", "display_name": "b"}})
        )


def test_another_interpreter_is_refused_and_the_way_out_named(jupyter_data: Path, tmp_path: Path) -> None:
    other = tmp_path / "bin" / "python"
    other.parent.mkdir()
    other.symlink_to(sys.executable)  # as in another virtual environment
    add_spec(
        jupyter_data, "analysis", argv=[str(other), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    )
    metadata = {"kernelspec": {"name": "analysis", "display_name": "Analysis", "language": "python"}}
    with pytest.raises(NotebookError) as caught:
        specs.check_notebook_kernel(new_notebook(metadata=metadata))
    assert "--kernel" in str(caught.value) and "kernels install" in str(caught.value)
    specs.check_notebook_kernel(new_notebook(metadata=metadata), kernel="nbrewind-repeat")


def test_usual_notebooks_are_welcome(jupyter_data: Path) -> None:
    add_spec(jupyter_data, "mine", argv=[sys.executable, "-m", "ipykernel_launcher"])
    for name in ("python3", "mine", "not-installed-here", "nbrewind-audit"):
        specs.check_notebook_kernel(
            new_notebook(metadata={"kernelspec": {"name": name, "display_name": name, "language": "python"}})
        )
    specs.check_notebook_kernel(new_notebook())


def test_the_kernel_to_run_must_be_one_of_ours(jupyter_data: Path) -> None:
    assert specs.check_run_kernel("nbrewind-audit") == "nbrewind-audit"
    with pytest.raises(NotebookError, match="No kernel is called"):
        specs.check_run_kernel("nothing")
    with pytest.raises(NotebookError, match="not one of nbrewind's"):
        specs.check_run_kernel("python3")
