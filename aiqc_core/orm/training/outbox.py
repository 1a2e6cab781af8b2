"""What was trained and could not be recorded, kept in files until it can.

A full disk or a read-only store must not cost hours of training. The outcome goes, signed as every
pickle of the store is, to a file below the store or, where that cannot be written, in the folder
for temporary files. The next run records it instead of training again.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from aiqc_core import config
from aiqc_core.config import spill_paths
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
        UnrecordedError: none can; what was trained is lost.
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
    """Return the error's text: what happened, where the training is, what to do."""
    return (
        f"Job {job.id} ({job.key}), repeat {outcome.repeat_index}, is trained but could not be "
        f"recorded in {config.shown_store()} ({_first(reason)!r}). It is kept in "
        f"{path}. Make the store writable and run again: the file is recorded instead of training "
        "again. Delete it to train again."
    )


def find(job: Job, repeat_index: int) -> tuple[Path, JobOutcome] | None:
    """Return the file that holds this training, and the outcome in it.

    A file that this store did not sign, or that is of another training, is left alone.
    """
    if not any(folder.is_dir() for folder in config.spill_paths()):
        return None  # as nearly always: no names need to be looked up
    earlier = [folder / f"{job.training_name(repeat_index)}.outcome" for folder in spill_paths()]
    for path in (*_paths(job, repeat_index), *earlier):  # named so before schema version 4
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
    """Delete a file whose training is recorded, and its folder when it is empty."""
    path.unlink(missing_ok=True)
    try:
        path.parent.rmdir()
    except OSError:
        logger.debug("%s holds more.", path.parent)


def _first(error: BaseException) -> BaseException:
    """Return what went wrong first: after a full disk, the rollback fails too.

    An error of ours says what a library's before it means, and shows no credentials.
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
