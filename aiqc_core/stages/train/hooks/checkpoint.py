"""The state of a training in the middle of it, kept on disk so that a killed Job goes on from it.

The runner opens a `Checkpoint` around `fn_train`. The training loops (`torch_fit`, the Keras
callback) ask `active()` for it, `read()` where they begin, and `write()` after an epoch when it is
`due()`. What the bytes mean is theirs; they must load without running code.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import time
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

logger = logging.getLogger(__name__)

DIGEST_BYTES = 32


class Checkpoint:
    """The folder in which one training keeps its state; made by the first `write`.

    A `fn_train` may run several loops, one after another. Each `read` begins a loop of its own
    with a file of its own, in order, so that no loop takes another's state.

    Args:
        folder: of this training and no other.
        seconds: between two writes, 0 for every epoch; None never writes, but still resumes.
    """

    def __init__(self, folder: str | Path, seconds: float | None) -> None:
        """Prepare; nothing is written yet, and the first state is due after `seconds`."""
        self.folder = Path(folder)
        self.seconds = seconds
        self._loop = -1
        self._written = time.monotonic()

    def read(self) -> bytes | None:
        """Begin a loop: return the state that this loop wrote before it was killed, if any."""
        self._loop += 1
        try:
            data = self._path().read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            logger.warning("The checkpoint cannot be read, training begins anew: %s", error)
            return None
        digest, state = data[:DIGEST_BYTES], data[DIGEST_BYTES:]
        if hashlib.sha256(state).digest() != digest:
            logger.warning("The checkpoint %s is damaged: training begins anew.", self._path())
            return None
        logger.info("Training goes on from the checkpoint %s.", self._path())
        return state

    def due(self) -> bool:
        """Say whether the time between two writes has passed."""
        return self.seconds is not None and time.monotonic() - self._written >= self.seconds

    def write(self, state: bytes) -> None:
        """Replace this loop's state in one step.

        Where that fails (a full disk), it is warned about and training goes on.

        Args:
            state: all that the loop needs to go on as if it had not been interrupted, the states
                of the random generators included.
        """
        path = self._path()
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with draft.open("wb") as stream:
                stream.write(hashlib.sha256(state).digest())
                stream.write(state)
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(path)
        except OSError as error:
            logger.warning("No checkpoint could be written to %s: %s", self.folder, error)
            with suppress(OSError):
                draft.unlink(missing_ok=True)
        self._written = time.monotonic()

    def clear(self) -> None:
        """Delete the folder; a missing one is no error."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self) -> Path:
        return self.folder / f"loop_{max(self._loop, 0)}.state"


_active: ContextVar[Checkpoint | None] = ContextVar("checkpoint", default=None)


def active() -> Checkpoint | None:
    """Return the checkpoint of the training that runs here; None where none is kept."""
    return _active.get()


@contextmanager
def opened(checkpoint: Checkpoint | None) -> Generator[None]:
    """Make a checkpoint the active one inside a `with` block."""
    token = _active.set(checkpoint)
    try:
        yield
    finally:
        _active.reset(token)
