"""Where the store lies, and what time it is."""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

HOME_VARIABLE = "AIQC_HOME"


def home() -> Path:
    """Return the folder of the store: `$AIQC_HOME`, else `.aiqc` in the working directory.

    Nothing is created here; the first write to the store makes the folder.
    """
    return Path(os.environ.get(HOME_VARIABLE) or ".aiqc").absolute()


def database_path() -> Path:
    """Return the SQLite file of the metastore."""
    return home() / "aiqc.sqlite"


def samples_path() -> Path:
    """Return the folder that holds the preprocessed samples of all Splitsets."""
    return home() / "cache" / "samples"


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
