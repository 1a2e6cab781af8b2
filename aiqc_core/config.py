"""Where the store lies, and what time it is."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

HOME_VARIABLE = "AIQC_HOME"
CACHE_VARIABLE = "AIQC_CACHE"
ARTIFACTS_VARIABLE = "AIQC_ARTIFACTS"


def home() -> Path:
    """Return the folder of the store: `$AIQC_HOME`, else `.aiqc` in the working directory.

    Nothing is created here; the first write to the store makes the folder.
    """
    return Path(os.environ.get(HOME_VARIABLE) or ".aiqc").absolute()


def database_path() -> Path:
    """Return the SQLite file of the metastore."""
    return home() / "aiqc.sqlite"


def samples_path() -> Path:
    """Return the folder that holds the preprocessed samples of all Splitsets.

    `$AIQC_CACHE` puts the cache elsewhere than beside the store, on a faster disk say: it can be
    deleted at any time, and is built again.
    """
    elsewhere = os.environ.get(CACHE_VARIABLE)
    return (Path(elsewhere).absolute() if elsewhere else home() / "cache") / "samples"


def artifacts_url() -> str | None:
    """Return the fsspec URL of the object store, `$AIQC_ARTIFACTS`; None where it is not set."""
    return os.environ.get(ARTIFACTS_VARIABLE) or None


def checkpoint_path(training: str) -> Path:
    """Return the folder that holds the checkpoint of one training while it runs."""
    return home() / "checkpoints" / training


def spill_paths() -> tuple[Path, ...]:
    """Return the folders for what is trained and cannot be recorded, in order of preference.

    The second is for a store whose disk is full or read-only.
    """
    store = hashlib.sha256(str(home()).encode()).hexdigest()[:16]
    return home() / "spill", Path(tempfile.gettempdir()) / f"aiqc-spill-{store}"


def key_path() -> Path:
    """Return the file of the key that signs what the store pickles."""
    return home() / "store.key"


@contextmanager
def use_home(path: str | Path) -> Generator[Path]:
    """Use another store inside a `with` block, for this process and those it starts."""
    before = os.environ.get(HOME_VARIABLE)
    os.environ[HOME_VARIABLE] = str(Path(path).absolute())
    try:
        yield home()
    finally:
        if before is None:
            del os.environ[HOME_VARIABLE]
        else:
            os.environ[HOME_VARIABLE] = before


def timezone_now() -> datetime:
    """Return the present time with the local zone's offset."""
    return datetime.now().astimezone()
