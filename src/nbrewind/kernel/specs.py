"""Kernelspecs: the two that come with the package, and which one a notebook asks for.

The wheel puts the same files below ``share/jupyter/kernels``, so Jupyter sees both kernels
right after ``pip install``.  ``install`` is for a Jupyter server in another environment:
there the interpreter must be an absolute path, since Jupyter replaces a bare ``python`` by
the server's own.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel
from jupyter_core.paths import jupyter_data_dir
from nbformat import NotebookNode

from nbrewind.errors import NotebookError, UsageError

Mode = Literal["audit", "repeat"]
MODES: tuple[Mode, ...] = ("audit", "repeat")

_FOLDER = Path(__file__).parent / "kernelspecs"
_BARE = {"python", f"python{sys.version_info[0]}", f"python{sys.version_info[0]}.{sys.version_info[1]}"}


def kernel_name(mode: Mode) -> str:
    """The name of the kernel that runs in ``mode``."""
    return f"nbrewind-{mode}"


def bundled(mode: Mode, *, suffix: str = "") -> dict[str, Any]:
    """``kernel.json`` of ``mode`` with this process's interpreter in it."""
    content: dict[str, Any] = json.loads((_FOLDER / kernel_name(mode) / "kernel.json").read_text("utf-8"))
    content["argv"][0] = sys.executable
    if suffix:
        content["display_name"] = f"Python 3 ({mode}, {suffix})"
    return content


class SpecManager(KernelSpecManager):
    """Finds kernels as Jupyter does, but ours always in this environment.

    A kernelspec of the same name that another environment installed for the user must not
    make the command line run another interpreter than the one it was called with.
    """

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """The kernelspec called ``kernel_name``; raises NoSuchKernel."""
        for mode in MODES:
            if kernel_name == f"nbrewind-{mode}":
                return KernelSpec(resource_dir=str(_FOLDER / kernel_name), **bundled(mode))
        return super().get_kernel_spec(kernel_name)


@dataclass(frozen=True, slots=True)
class InstalledSpec:
    """One kernelspec of ours that Jupyter can see."""

    name: str
    display_name: str
    mode: str
    interpreter: str
    folder: str
    usable: bool
    """Whether the interpreter exists."""


def _interpreter(argv: list[str]) -> str:
    return sys.executable if argv and argv[0] in _BARE else (argv[0] if argv else "")


def _mode_of(argv: list[str]) -> str:
    if "nbrewind.kernel" not in argv:
        return ""
    return argv[argv.index("--mode") + 1] if "--mode" in argv[:-1] else "repeat"


def installed() -> list[InstalledSpec]:
    """Our kernelspecs that Jupyter sees from this environment, sorted by name."""
    found = []
    manager = KernelSpecManager()
    for name, folder in sorted(manager.find_kernel_specs().items()):
        try:
            spec = manager.get_kernel_spec(name)
        except (NoSuchKernel, OSError, ValueError):
            continue  # a broken kernelspec of somebody else is not ours to report
        mode = _mode_of(spec.argv)
        if mode:
            interpreter = _interpreter(spec.argv)
            found.append(
                InstalledSpec(
                    name, spec.display_name, mode, interpreter, folder, shutil.which(interpreter) is not None
                )
            )
    return found


def kernels_folder(*, user: bool = False, sys_prefix: bool = False, prefix: str = "") -> Path:
    """Where kernelspecs go for exactly one of the three choices.

    Raises:
        UsageError: none or several were chosen.
    """
    if [user, sys_prefix, bool(prefix)].count(True) != 1:
        raise UsageError("Choose one place: --user, --sys-prefix or --prefix PATH.")
    if user:
        return Path(jupyter_data_dir()) / "kernels"
    return Path(sys.prefix if sys_prefix else prefix) / "share" / "jupyter" / "kernels"


def install(folder: Path, *, suffix: str = "") -> list[Path]:
    """Write both kernelspecs, with this interpreter's absolute path, below ``folder``.

    Raises:
        NotebookError: the folder cannot be written.
    """
    written = []
    for mode in MODES:
        name = kernel_name(mode) + (f"-{suffix}" if suffix else "")
        target = folder / name
        try:
            target.mkdir(parents=True, exist_ok=True)
            temporary = target / "kernel.json.tmp"
            temporary.write_text(json.dumps(bundled(mode, suffix=suffix), indent=2) + "\n", "utf-8")
            os.replace(temporary, target / "kernel.json")
        except OSError as error:
            raise NotebookError(
                f"The kernelspec cannot be written to {target} ({error.strerror}). "
                "Choose another place with --user, --sys-prefix or --prefix."
            ) from error
        written.append(target)
    return written


def remove(folder: Path, *, suffix: str = "") -> list[Path]:
    """Delete our kernelspecs below ``folder`` and return those that were there.

    Raises:
        NotebookError: a folder cannot be deleted.
    """
    candidates = [folder / (kernel_name(mode) + (f"-{suffix}" if suffix else "")) for mode in MODES]
    gone = []
    for target in candidates:
        if not (target / "kernel.json").is_file():
            continue
        try:
            shutil.rmtree(target)
        except OSError as error:
            raise NotebookError(f"The kernelspec {target} cannot be removed ({error.strerror}).") from error
        gone.append(target)
    return gone


def check_notebook_kernel(notebook: NotebookNode, *, kernel: str = "") -> None:
    """Refuse a notebook that the kernels of this environment cannot run.

    With ``kernel`` the caller has named the kernel to use, so only the language counts.

    Raises:
        NotebookError: another language, or a Python kernelspec of another interpreter.
    """
    wanted = notebook.metadata.get("kernelspec", {})
    name = str(wanted.get("name", ""))
    spec: KernelSpec | None
    try:
        spec = SpecManager().get_kernel_spec(name) if name else None
    except (NoSuchKernel, ValueError):
        spec = None  # written on a machine that had it: the language below decides
    language = str(
        wanted.get("language")
        or notebook.metadata.get("language_info", {}).get("name")
        or (spec.language if spec is not None else "python")
    )
    if language.lower() not in {"python", "ipython"}:
        raise NotebookError(
            f"The notebook is written in {language}, and nbrewind runs Python notebooks only. "
            "If it is Python after all, choose a Python kernel in Jupyter and save it."
        )
    if spec is None or kernel or not spec.argv:
        return
    other = spec.argv[0]
    if other in _BARE or not os.path.isabs(other) or not Path(other).exists():
        return
    if not _same_interpreter(other, sys.executable):
        raise NotebookError(
            f"The notebook's kernel {name!r} belongs to another Python ({other}) than this command "
            f"({sys.executable}). Install nbrewind there and run `nbrewind kernels install --user`, or name "
            f"the kernel to use, for example --kernel {kernel_name('repeat')}."
        )


def _same_interpreter(one: str, other: str) -> bool:
    """Equal paths, or two names of one program in one folder; links into another prefix differ."""
    first, second = os.path.abspath(one), os.path.abspath(other)
    if first == second:
        return True
    return os.path.dirname(first) == os.path.dirname(second) and os.path.samefile(first, second)


def is_ours(name: str) -> bool:
    """Whether the kernel called ``name`` is one of nbrewind's and understands its requests."""
    try:
        return bool(_mode_of(SpecManager().get_kernel_spec(name).argv))
    except (NoSuchKernel, ValueError):
        return False


def check_run_kernel(name: str) -> str:
    """Whether ``--kernel name`` can be used: it must start one of our kernels.

    Raises:
        NotebookError: unknown, or another program.
    """
    try:
        spec = SpecManager().get_kernel_spec(name)
    except (NoSuchKernel, ValueError):
        known = ", ".join(item.name for item in installed()) or "none"
        raise NotebookError(
            f"No kernel is called {name!r}. Kernels of nbrewind here: {known}. "
            "`nbrewind kernels install` adds one."
        ) from None
    if not _mode_of(spec.argv):
        raise NotebookError(
            f"The kernel {name!r} is not one of nbrewind's and would record nothing. "
            "`nbrewind kernels list` shows those that are."
        )
    return name
