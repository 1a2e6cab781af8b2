"""Keep trainings that could not be recorded in files, until the next run records them.

A full disk or a read-only store must not cost hours of training. The outcome is signed and written
below the store or, if that fails, in the folder for temporary files.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from aiqc_core import config
from aiqc_core.errors import AIQCError, MetastoreError, UnrecordedError
from aiqc_core.orm.store import signing

if TYPE_CHECKING:
    from pathlib import Path

    from aiqc_core.orm.tables.job import Job
    from aiqc_core.stages.train.spec import JobOutcome

logger = logging.getLogger(__name__)


def keep(job: Job, outcome: JobOutcome, reason: BaseException) -> Path:
    """Write an outcome to the first folder that can be written.

    Raises:
        UnrecordedError: none can; the training is lost.
    """
    data = signing.dumps({"seed": job.seed(outcome.repeat_index), "outcome": outcome})
    faults: list[str] = []
    for path in _paths(job, outcome.repeat_index):
        try:
            _write(path, data)
        except OSError as error:
            faults.append(f"{path}: {error.strerror or error}")
        else:
            logger.error("Job %d (%s) is trained and kept in %s.", job.id, job.key, path)
            return path
    message = (
        f"Job {job.id} ({job.key}) is trained, but could neither be recorded "
        f"({_first(reason)!r}) nor kept in a file ({'; '.join(faults)}). Make room, and run again."
    )
    raise UnrecordedError(message) from reason


def describe(job: Job, outcome: JobOutcome, reason: BaseException, path: Path) -> str:
    """Return the error text: what happened, where the training is, what to do."""
    return (
        f"Job {job.id} ({job.key}), repeat {outcome.repeat_index}, is trained but could not be "
        f"recorded in {config.shown_store()} ({_first(reason)!r}). It is kept in "
        f"{path}. Make the store writable and run again: the file is recorded instead of training "
        "again. Delete it to train again."
    )


def find(job: Job, repeat_index: int) -> tuple[Path, JobOutcome] | None:
    """Return the file that holds this training, and the outcome in it.

    A file of another store or another training is left alone.
    """
    if not any(folder.is_dir() for folder in config.spill_paths()):
        return None  # nearly always: no names need to be looked up
    earlier = f"{job.training_name(repeat_index)}.outcome"  # its name before schema version 4
    old_paths = [folder / earlier for folder in config.spill_paths()]
    for path in (*_paths(job, repeat_index), *old_paths):
        if not path.is_file():
            continue
        try:
            kept = signing.loads(path.read_bytes())
        except MetastoreError as error:
            logger.warning("%s is not taken for a training of this store: %s", path, error)
            continue
        if isinstance(kept, dict) and kept.get("seed") == job.seed(repeat_index):
            return path, kept["outcome"]
        logger.warning("%s is of another training than Job %d and is left alone.", path, job.id)
    return None


def forget(path: Path) -> None:
    """Delete the file of a recorded training, and its folder when that is empty."""
    path.unlink(missing_ok=True)
    with suppress(OSError):
        path.parent.rmdir()


def _first(error: BaseException) -> BaseException:
    """Return the first error: after a full disk, the rollback fails too.

    An AIQCError explains the library's error before it, and shows no credentials.
    """
    if error.__context__ is None or isinstance(error, AIQCError):
        return error
    return _first(error.__context__)


def _paths(job: Job, repeat_index: int) -> list[Path]:
    name = f"{job.file_name(repeat_index)}.outcome"
    return [folder / name for folder in config.spill_paths()]


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
