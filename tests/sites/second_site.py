"""The second site: another Debian with another Python, user and paths, without network and without any engine.

Its root file system is made by mmdebstrap, or taken from ``SITE_ROOT`` (it is copied, not changed).  Must be root:
a site is entered by chroot in name spaces of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
USER, HOME = "visitor", "/home/visitor"
PYTHON = "3.13"
PACKAGES = "python3,python3-venv,ca-certificates"
LIBRARIES = ("numpy", "pandas", "pyarrow", "matplotlib", "tqdm")
"""What the examples import, but for the engine; pandas stores text with pyarrow where it is installed."""
ENGINE = "dask"
"""Dask without its clusters: an engine that can be put there later, and is another than the first site's."""


class Site:
    """A root file system that programs are run in."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / HOME[1:]

    @classmethod
    def make(cls, folder: Path) -> Site:
        """Make the site, or take it as it is if it was made before."""
        site = cls(folder / "root")
        done, holds = folder / ".done", " ".join((PACKAGES, *LIBRARIES, ENGINE))
        if done.exists() and done.read_text() == holds:
            return site
        shutil.rmtree(site.root, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        given = os.environ.get("SITE_ROOT", "")
        if given:
            run("cp", "-a", "-x", "--reflink=auto", given, str(site.root))
        else:
            run("mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", "trixie", str(site.root))
        if site.enter("id", USER, user="root", check=False).returncode:
            site.enter("useradd", "-m", "-d", HOME, USER, user="root")
        site.install()
        done.write_text(holds)
        return site

    def install(self) -> None:
        """nbrewind and libraries from wheels that were brought along: the site itself sees no network."""
        wheels = self.root / "opt/wheels"
        shutil.rmtree(wheels, ignore_errors=True)
        wheels.mkdir(parents=True)
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-q")
        run(*pip, "wheel", "--no-deps", "-w", str(wheels), str(REPOSITORY))
        ours = str(next(wheels.glob("nbrewind-*.whl")))
        run(
            *(*pip, "download", "-d", str(wheels), "--only-binary=:all:", "--python-version", PYTHON, ours),
            *(*LIBRARIES, ENGINE),
        )
        self.enter("python3", "-m", "venv", "--clear", "/opt/nbrewind", user="root")
        self.enter(
            *("/opt/nbrewind/bin/pip", "install", "-q", "--no-index", "--find-links", "/opt/wheels"),
            *("nbrewind", *LIBRARIES),
            user="root",
        )

    def engine(self, *, there: bool) -> None:
        """Put the engine there, or take it away."""
        ways = ("install", "--no-index", "--find-links", "/opt/wheels") if there else ("uninstall", "-y")
        self.enter("/opt/nbrewind/bin/pip", "-q", *ways, ENGINE, user="root")

    def has(self, module: str) -> bool:
        """Whether nbrewind's Python there has a module."""
        return not self.enter("/opt/nbrewind/bin/python", "-c", f"import {module}", check=False).returncode

    def refresh(self) -> None:
        """The present nbrewind in a site that was made before."""
        target = next(self.root.glob("opt/nbrewind/lib/python3.*/site-packages")) / "nbrewind"
        shutil.copytree(REPOSITORY / "src/nbrewind", target, dirs_exist_ok=True)

    def enter(
        self, *command: str, user: str = USER, folder: str = HOME, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a program there: no network, its own processes and mounts."""
        inside = (
            f"mount --bind /dev {self.root}/dev && mount -t proc proc {self.root}/proc && "
            f'exec chroot --userspec={user} {self.root} /usr/bin/env -i "$@"'
        )
        home, folder = (HOME, folder) if user == USER else ("/root", "/")
        around = (
            "-C",
            folder,
            f"HOME={home}",
            f"USER={user}",
            "PATH=/usr/bin:/bin:/usr/sbin",
            "LANG=C.UTF-8",
        )
        done = subprocess.run(
            ["unshare", "--net", "--mount", "--pid", "--fork", "sh", "-c", inside, "site", *around, *command],
            capture_output=True,
            text=True,
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
        return done

    def nbrewind(self, *arguments: str, folder: str = HOME) -> dict[str, Any]:
        """One verb there, by what it prints with ``--json``."""
        done = self.enter("/opt/nbrewind/bin/nbrewind", *arguments, "--json", folder=folder, check=False)
        try:
            content: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            raise AssertionError(f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}") from None
        return content


def run(*command: str) -> None:
    """Run a program here.

    Raises:
        AssertionError: it failed; with what it said.
    """
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
