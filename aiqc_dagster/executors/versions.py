"""Compare the code and libraries of two processes.

A step trains with what is installed on its machine. Where that differs, models would differ by
machine, and nothing would show it.
"""

from __future__ import annotations

import hashlib
import platform
import socket
from functools import lru_cache
from importlib import metadata
from pathlib import Path

import aiqc_core
import aiqc_dagster
from aiqc_core import config
from aiqc_core.errors import TrainingError

LIBRARIES = ("dagster", "numpy", "pandas", "scikit-learn", "torch", "tensorflow")
CODE_KINDS = (".py", ".yaml")
CODE_DIGITS = 12
ABSENT = "not installed"
HOST, STORE, CODE = "host", "store", "code"


@lru_cache(maxsize=1)
def of_this_process() -> dict[str, str]:
    """Return host, store, code and versions of this process, as they were at the first call.

    A long-lived worker calls this when it starts: code that is edited later is not what it runs.
    """
    return {
        HOST: socket.gethostname(),
        STORE: config.shown_store(),
        CODE: _code(),
        "aiqc": aiqc_core.__version__,
        "python": platform.python_version(),
        **{name: _version(name) for name in LIBRARIES},
    }


def refuse_other(sender: dict[str, str], worker: str) -> None:
    """Refuse to work for a sender that runs something else; `worker` is the name that refuses.

    Stores are compared on one host only: each machine may reach the same store by its own path.

    Raises:
        TrainingError: names both hosts, each difference, and the remedy.
    """
    here = of_this_process()
    skipped = {HOST} if sender[HOST] == here[HOST] else {HOST, STORE}
    found = [
        f"{name} {sender.get(name, ABSENT)} sent, {here.get(name, ABSENT)} here"
        for name in dict.fromkeys([*sender, *here])
        if name not in skipped and sender.get(name) != here.get(name)
    ]
    if found:
        raise TrainingError(
            f"The worker {worker} on {here[HOST]} runs something else than the run on "
            f"{sender[HOST]}: {'; '.join(found)}. Install the same requirements.lock and code on "
            "both, give both the same store, and start the worker again."
        )


def _version(library: str) -> str:
    """Return the release of a library; its build (+cpu, +cu126) may be each machine's own."""
    try:
        return metadata.version(library).partition("+")[0]
    except metadata.PackageNotFoundError:
        return ABSENT


def _code() -> str:
    """Return a digest of both packages' files, the declared experiments included."""
    digest = hashlib.sha256()
    for package in (aiqc_core, aiqc_dagster):
        root = Path(str(package.__file__)).parent
        for file in sorted(root.rglob("*")):
            if file.suffix in CODE_KINDS:
                digest.update(f"{file.relative_to(root)}\0".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()[:CODE_DIGITS]
