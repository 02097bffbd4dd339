"""A template process that forks kernels: libraries are imported once, each kernel is a process of its own.

Protocol: one JSON object per line on standard input (``module``, ``argv``, ``cwd``, ``env``, ``log``), one
answer per line on standard output (``{"pid": ...}``).  Ends, with all its children, when standard input does.
Only third-party libraries are imported beforehand, never the package: rule switches are read at its import.
"""

import ctypes
import faulthandler
import functools
import json
import os
import runpy
import signal
import sys
from importlib import metadata

PRELOADED = (
    "IPython.core.interactiveshell",
    "ipykernel.kernelapp",
    "ipykernel.ipkernel",
    "blake3",
    "cloudpickle",
    "concurrent.futures",
    "msgspec",
    "sqlite3",
    "xxhash",
)


def preload() -> None:
    """Imports what every kernel imports; a library that is absent is not missed here."""
    for name in PRELOADED:
        try:
            __import__(name)
        except ImportError:
            continue
    # What is installed stays while the tests run, and reading all of it takes longer than most of their cells.
    metadata.packages_distributions = functools.cache(metadata.packages_distributions)
    metadata.packages_distributions()


def become(request: dict) -> None:
    """Turns this fresh child into ``python -m module argv``; never returns."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setsid()
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    faulthandler.enable(file=log)  # a kernel that hangs is ended by SIGABRT and tells where it was
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    extra = [p for p in request["env"].get("PYTHONPATH", "").split(os.pathsep) if p and p not in sys.path]
    sys.path[:] = [request["cwd"], *extra, *sys.path[1:]]
    sys.argv = [request["module"], *request["argv"]]
    code = 1
    try:
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:  # the child of a fork ends here: whatever it was is told
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """Serves fork requests until standard input ends."""
    preload()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stream = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    print(json.dumps({"ready": os.getpid()}), file=answers, flush=True)
    while line := stream.readline():
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            stream.close()
            answers.close()
            become(request)
        print(json.dumps({"pid": pid}), file=answers, flush=True)


if __name__ == "__main__":
    main()
