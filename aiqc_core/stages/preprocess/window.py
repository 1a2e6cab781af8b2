"""Sliding windows over samples, kept as a rule and read as views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aiqc_core import counts
from aiqc_core.errors import PreprocessError, SelectionError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from aiqc_core.stages.preprocess.values import Array, Ints

SHOWN = 5


@dataclass(frozen=True, slots=True)
class Windows:
    """Which rows each window holds, in memory that does not grow with the rows.

    Unshifted windows are the past that a model sees, shifted ones the future that it predicts. The
    last window ends with the last row.
    """

    samples: int  # rows that are windowed
    size_window: int  # rows of a window
    size_shift: int  # rows between two windows, and between a window and its target
    record_shifted: bool  # whether there are shifted windows; pure inference has none
    count: int  # how many windows; they become the samples
    lead: int  # rows before the first window

    @property
    def unshifted(self) -> list[list[int]]:
        """Rows of each unshifted window, written out."""
        starts = range(self.lead, self.samples, self.size_shift)[: self.count]
        return [list(range(start, start + self.size_window)) for start in starts]

    @property
    def shifted(self) -> list[list[int]] | None:
        """Rows of each shifted window, written out; None where they are not recorded."""
        if not self.record_shifted:
            return None
        return [[row + self.size_shift for row in rows] for rows in self.unshifted]

    @property
    def overlap(self) -> int:
        """How many rows an unshifted window shares with its own shifted one."""
        return max(self.size_window - self.size_shift, 0) if self.record_shifted else 0

    def start(self, idx: int, *, shifted: bool = False) -> int:
        """Return the first row of a window; errors as `rows`."""
        self._refuse_unknown(np.asarray([idx]))
        return self._first(shifted=shifted) + int(idx) * self.size_shift

    def rows(self, positions: ArrayLike, *, shifted: bool | None = None) -> Ints:
        """Return the rows under some windows, sorted, each once.

        `shifted` is True for the shifted windows, False for the unshifted ones, None for all that
        are recorded.

        Raises:
            SelectionError: a position that no window has.
            PreprocessError: shifted windows that are not recorded.

        >>> plan(11, 3, 2).rows([0, 3], shifted=False).tolist()
        [0, 1, 2, 6, 7, 8]
        """
        which = np.asarray(positions)
        self._refuse_unknown(which)
        kinds = [False, True][: 1 + self.record_shifted] if shifted is None else [shifted]
        firsts = np.array([[self._first(shifted=kind)] for kind in kinds])
        starts = (firsts + which.ravel().astype(np.int64) * self.size_shift).ravel()
        opened = np.bincount(starts, minlength=self.samples + 1)
        closed = np.bincount(starts + self.size_window, minlength=self.samples + 1)
        return np.flatnonzero((opened - closed).cumsum() > 0)

    def _first(self, *, shifted: bool) -> int:
        if shifted and not self.record_shifted:
            raise PreprocessError(
                "shifted=True: this Window was made with record_shifted=False, it has no shifted "
                "windows. Make one with record_shifted=True."
            )
        return self.lead + self.size_shift * shifted

    def _refuse_unknown(self, which: Array) -> None:
        if which.size and which.dtype.kind not in "iu":
            raise SelectionError(f"positions: {which.dtype} values; give whole numbers.")
        unknown = which[(which < 0) | (which >= self.count)]
        if unknown.size:
            raise SelectionError(
                f"positions: no window {unknown[:SHOWN].tolist()}; there are {self.count}, from 0 "
                f"to {self.count - 1}."
            )


def plan(
    samples: int,
    size_window: int,
    size_shift: int,
    record_shifted: bool = True,  # noqa: FBT001, FBT002 - the order of the reference's arguments
) -> Windows:
    """Lay windows over rows, flush with the last row; see `Windows` for the arguments.

    With n rows, windows of w and a shift of s there are `(n - w) // s` pairs of windows; without
    shifted windows, `(n - w) // s + 1` windows.

    Raises:
        PreprocessError: a size below 1, or too few rows for one window.

    >>> windows = plan(11, 3, 2)
    >>> windows.unshifted[0], windows.shifted[0], windows.shifted[-1]
    ([0, 1, 2], [2, 3, 4], [8, 9, 10])
    """
    w = counts.whole("size_window", size_window, least=1)
    s = counts.whole("size_shift", size_shift, least=1)
    counts.flag("record_shifted", record_shifted)
    horizon = s if record_shifted else 0
    count = (samples - w - horizon) // s + 1
    if count < 1:
        raise PreprocessError(
            f"size_window={w}, size_shift={s}, record_shifted={record_shifted}: {samples} samples "
            f"hold no window; at least {w + horizon} samples would be enough. Use smaller sizes "
            "or more samples."
        )
    lead = samples - horizon - ((count - 1) * s + w)
    return Windows(int(samples), w, s, bool(record_shifted), int(count), int(lead))


def view(array: Array, windows: Windows, *, shifted: bool = False) -> Array:
    """Return the windows of an array `(samples, ...)`, a read-only view.

    Its shape is `(count, size_window, ...)`.

    Raises:
        PreprocessError: another number of samples, or shifted windows that are not recorded.
    """
    if len(array) != windows.samples:
        raise PreprocessError(
            f"array: {len(array)} samples; the windows were laid over {windows.samples}. Give the "
            "data that the Window was made for, or make another Window."
        )
    first = windows.start(0, shifted=shifted)
    every_start = np.lib.stride_tricks.sliding_window_view(array, windows.size_window, axis=0)
    chosen = every_start[first :: windows.size_shift][: windows.count]
    return np.moveaxis(chosen, -1, 1)
