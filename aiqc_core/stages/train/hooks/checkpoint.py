"""Keep the state of an unfinished training on disk, so that a killed Job goes on from it.

`run` opens a `Checkpoint` around `fn_train`. The training loops (`torch.loop`, the Keras
callback) get it by `active()`, `read()` it where they begin, and `write()` after an epoch when it
is `due()`. They choose the bytes, which must load without running code.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from contextlib import suppress
from pathlib import Path

from aiqc_core.stages.train.hooks.active import Active

logger = logging.getLogger(__name__)

DIGEST_BYTES = 32


class Checkpoint:
    """The folder in which one training keeps its state; the first `write` makes it.

    A `fn_train` may run several loops, one after another. Each `read` begins a loop with a file
    of its own, so that no loop takes another's state. The first state is due after `seconds`: 0
    writes every epoch, None never, but resumes.
    """

    def __init__(self, folder: str | Path, seconds: float | None) -> None:
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
            logger.warning("The checkpoint cannot be read, training starts over: %s", error)
            return None
        digest, state = data[:DIGEST_BYTES], data[DIGEST_BYTES:]
        if hashlib.sha256(state).digest() != digest:
            logger.warning("The checkpoint %s is damaged: training starts over.", self._path())
            return None
        logger.info("Training goes on from the checkpoint %s.", self._path())
        return state

    def due(self) -> bool:
        """Say whether the time between two writes has passed."""
        return self.seconds is not None and time.monotonic() - self._written >= self.seconds

    def write(self, state: bytes) -> None:
        """Replace this loop's state, random generators included, in one step.

        Where that fails (a full disk), log a warning and let the training go on.
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

    def _path(self) -> Path:
        return self.folder / f"loop_{max(self._loop, 0)}.state"


_current: Active[Checkpoint] = Active("checkpoint")
active, opened = _current.get, _current.opened
