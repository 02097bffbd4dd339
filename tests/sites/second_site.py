"""The second site: another Debian with another Python, user and paths, without network, at first without any engine.

Its root file system is made by mmdebstrap, or taken from ``SITE_ROOT`` (it is copied, not changed).  Must be root:
a site is entered by chroot in name spaces of its own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
USER, HOME = "visitor", "/home/visitor"
PYTHON = "3.13"
PACKAGES = "python3,python3-venv,ca-certificates,slurm-wlm,munge,iproute2"
LIBRARIES = ("numpy", "pandas", "pyarrow", "matplotlib", "tqdm")
"""What the examples import, but for the engine; pandas stores text with pyarrow where it is installed."""
ENGINES = ("dask", "distributed", "dask-jobqueue", "parsl")
"""What can be put there later: Dask without its clusters, with them, with jobs of the site's Slurm; Parsl."""
SLURM = "/opt/slurm"


class Site:
    """A root file system that programs are run in."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / HOME[1:]

    @classmethod
    def make(cls, folder: Path) -> Site:
        """Make the site, or take it as it is if it was made before."""
        site = cls(folder / "root")
        done, holds = folder / ".done", " ".join((PACKAGES, *LIBRARIES, *ENGINES))
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
            *(*LIBRARIES, *ENGINES),
        )
        self.enter("python3", "-m", "venv", "--clear", "/opt/nbrewind", user="root")
        self.enter(
            *("/opt/nbrewind/bin/pip", "install", "-q", "--no-index", "--find-links", "/opt/wheels"),
            *("nbrewind", *LIBRARIES),
            user="root",
        )

    def engines(self, *names: str) -> None:
        """Put these engines there, and take all others away."""
        pip = ("/opt/nbrewind/bin/pip", "-q")
        self.enter(*pip, "uninstall", "-y", *ENGINES, user="root")
        if names:
            self.enter(*pip, "install", "--no-index", "--find-links", "/opt/wheels", *names, user="root")

    def settings(self, **settings: object) -> None:
        """What the site says of its Slurm, where Dask looks for it."""
        folder = self.home / ".config/dask"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "site.yaml").write_text(json.dumps({"jobqueue": {"slurm": settings}}))

    def has(self, module: str) -> bool:
        """Whether nbrewind's Python there has a module."""
        return not self.enter("/opt/nbrewind/bin/python", "-c", f"import {module}", check=False).returncode

    def refresh(self) -> None:
        """The present nbrewind, and what starts Slurm, in a site that was made before."""
        (self.root / SLURM[1:]).mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / "tests/slurm/cluster.sh", self.root / SLURM[1:])
        target = next(self.root.glob("opt/nbrewind/lib/python3.*/site-packages")) / "nbrewind"
        shutil.copytree(REPOSITORY / "src/nbrewind", target, dirs_exist_ok=True)

    def enter(
        self, *command: str, user: str = USER, folder: str = HOME, check: bool = True, slurm: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run a program there: no network, its own processes and mounts; with ``slurm`` beside the site's Slurm."""
        inside = (
            f"mount --bind /dev {self.root}/dev && mount -t tmpfs -o mode=1777 shm {self.root}/dev/shm && "
            f"mount -t proc proc {self.root}/proc && chroot {self.root} /usr/sbin/ip link set lo up && "
            f'{self._start_slurm() if slurm else "exec"} chroot --userspec={user} {self.root} /usr/bin/env -i "$@"'
        )
        home, folder = (HOME, folder) if user == USER else ("/root", "/")
        around = (
            "-C",
            folder,
            f"HOME={home}",
            f"USER={user}",
            "PATH=/usr/bin:/bin:/usr/sbin",
            "LANG=C.UTF-8",
            f"SLURM_CONF={SLURM}/now/slurm.conf",
        )
        # What the program leaves, and Slurm, end with the first process of their name space.
        apart = ("unshare", "--net", "--uts", "--mount", "--pid", "--fork", "--kill-child")
        done = subprocess.run(
            [*apart, "sh", "-c", inside, "site", *around, *command],
            capture_output=True,
            text=True,
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
        return done

    def _start_slurm(self) -> str:
        """Shell: two nodes on loopback, which the program that follows finds by ``SLURM_CONF``."""
        shutil.rmtree(self.root / SLURM[1:] / "now", ignore_errors=True)
        (self.root / "etc/hosts").write_text(f"127.0.0.1 localhost {USER}-host\n")
        steps = (
            f"hostname {USER}-host",
            # Names are looked up only where there is another interface than lo; this one leads nowhere.
            "ip link add nowhere0 type veth peer name nowhere1",
            "ip addr add 10.99.99.1/32 dev nowhere0",
            "ip link set nowhere0 up",
            "ip link set nowhere1 up",
            f"{SLURM}/cluster.sh start {SLURM}/now >&2",
        )
        path = "PATH=/usr/bin:/bin:/usr/sbin"
        return f"chroot {self.root} env -i {path} sh -c '{' && '.join(steps)}' && "

    def jobs(self) -> int:
        """How many jobs Slurm was given when it last ran there, by its own log."""
        log = self.root / SLURM[1:] / "now/slurmctld.log"
        return len(set(re.findall(r"JobId=(\d+)", log.read_text())))

    def nbrewind(self, *arguments: str, folder: str = HOME, slurm: bool = False) -> dict[str, Any]:
        """One verb there, by what it prints with ``--json``."""
        program = "/opt/nbrewind/bin/nbrewind"
        done = self.enter(program, *arguments, "--json", folder=folder, check=False, slurm=slurm)
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
