"""Draw samples so that each class gives its share and keeps some."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aiqc_core.counts import seed as checked_seed
from aiqc_core.errors import SplitError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SHOWN = 5


def generator(seed: int) -> np.random.Generator:
    """Return the generator of a seed; errors as `counts.seed`."""
    return np.random.default_rng(checked_seed(seed))


def shares(
    counts: NDArray[np.int64], count: int, keep: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the number to draw from each class, by largest remainder; `rng` breaks ties.

    `counts` are the members of each class, `(classes,)`, of which `keep` stay; `count` is the
    number to draw in all, at most `(counts - keep).sum()`.

    >>> shares(np.array([18, 2]), 4, 1, np.random.default_rng(0)).tolist()
    [4, 0]
    """
    exact = counts * count / counts.sum()
    room = np.maximum(counts - keep, 0)
    drawn = np.minimum(np.floor(exact).astype(np.int64), room)
    while missing := count - int(drawn.sum()):
        open_classes = np.flatnonzero(drawn < room)
        remainders = (exact - drawn)[open_classes]
        order = np.lexsort((rng.random(len(open_classes)), -remainders))
        drawn[open_classes[order[:missing]]] += 1
    return drawn


def draw(
    rows: NDArray[np.int64],
    codes: NDArray[np.int64],
    count: int,
    *,
    keep: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw `count` rows, each class in proportion; return those that stay and those drawn.

    Rows are sorted positions, `codes` their classes; `keep` rows of each class stay.
    """
    present, inverse, counts = np.unique(codes, return_inverse=True, return_counts=True)
    quota = shares(counts, count, keep, rng)
    taken = np.zeros(len(rows), dtype=bool)
    for index in range(len(present)):
        taken[rng.permutation(np.flatnonzero(inverse == index))[: quota[index]]] = True
    return rows[~taken], rows[taken]


def refuse_small_classes(
    argument: str, codes: NDArray[np.int64], names: Sequence[str], needed: int
) -> None:
    """Refuse classes with fewer members than the cuts need; the SplitError names them."""
    counts = np.bincount(codes, minlength=len(names))
    small = np.flatnonzero((counts > 0) & (counts < needed))
    if len(small):
        shown = ", ".join(f"{names[code]!r} has {counts[code]}" for code in small[:SHOWN])
        more = f" (and {len(small) - SHOWN} more classes)" if len(small) > SHOWN else ""
        raise SplitError(
            f"{argument}: class {shown}{more}; each needs at least {needed} samples for these "
            "cuts. Add samples, merge classes, leave the class out, or cut less often."
        )
