"""Find near-duplicates: one value in twenty differs, an image has noise.

Not all pairs are compared: each draw picks a few places at random and compares the samples that
agree there with the first such training sample. So the work grows linearly with the samples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    Bits = NDArray[np.uint64]

PLACES, MOST_VALUES = 256, 2**24  # of each sample, and of all, that are compared
LEAST_PLACES = 8  # with fewer, one equal value more or less proves nothing
DRAWS, DRAWN = 24, 8  # every second draw finds samples that agree in nine tenths
MOST_ROWS = 10_000  # of a split
COMPARED = 100  # training samples that decide how rare a value is
LIKE = 0.85  # share of the information that near-duplicates have in common
BITS = 20.0  # of common information beyond what pairs of so many samples have by chance
BLOCK_VALUES, LARGEST = 2**22, 1e150  # values read at once; the largest with finite sums
GRID, LEVELS = 8, 64  # resolution of a coarse image, which hides noise


class NearRows(TypedDict):
    """The rows of a split that are nearly one of train, of those that were looked at."""

    rows: int
    share: float
    of: int


def places(tables: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return values at random places of tables of numbers, `(samples, PLACES or fewer)`."""
    widths = [int(np.prod(table.shape[1:])) for table in tables]
    most = min(PLACES, max(MOST_VALUES // max(len(tables[0]), 1), LEAST_PLACES))
    chosen = np.sort(np.random.default_rng(0).permutation(sum(widths))[:most])
    starts = np.cumsum([0, *widths])
    parts = [
        table.reshape(len(table), -1)[:, chosen[(chosen >= start) & (chosen < end)] - start]
        for table, start, end in zip(tables, starts, starts[1:], strict=False)
    ]
    return parts[0] if len(parts) == 1 else np.hstack(parts)


def coarse(images: NDArray[Any]) -> NDArray[np.float64]:
    """Return images `(samples, channels, rows, columns)` as levels of brightness on a grid."""
    step = max(BLOCK_VALUES // max(images[:1].size, 1), 1)
    found = np.concatenate([_means(images[i : i + step]) for i in range(0, len(images), step)])
    return np.round(found * (LEVELS / (float(np.ptp(found)) or 1.0)))


def _means(images: NDArray[Any]) -> NDArray[np.float64]:
    """Return the mean of each field of the grid; values that are not finite count as 0."""
    found = np.nan_to_num(images.astype(np.float64), posinf=0.0, neginf=0.0)
    found = np.clip(found, -LARGEST, LARGEST)
    for axis in (2, 3):
        length = found.shape[axis]
        edges = np.linspace(0, length, min(length, GRID) + 1).astype(int)
        sizes = np.expand_dims(np.diff(edges), tuple(range(1, 4 - axis)))
        found = np.add.reduceat(found, edges[:-1], axis=axis) / sizes
    return found


def count(
    sketches: Sequence[Bits],
    hashes: NDArray[np.uint64],
    labels: NDArray[np.int64] | None,
    splits: Mapping[str, NDArray[np.int64]],
) -> dict[str, NearRows]:
    """Count in each split the samples that are nearly a training sample and have its label.

    Sketches are bits of the values of each sample at some places, `(samples, places)` each. A
    sample with the hash of a training sample does not count. The first split is train.
    """
    (_, train), *others = splits.items()
    counts: dict[str, NearRows] = {}
    for split, whole in others:
        rows = whole[:: -(-len(whole) // MOST_ROWS) or 1]
        alike = np.zeros(len(hashes), dtype=bool)
        for sketch in sketches:
            for mine, other in _pairs(sketch, train, rows):
                alike[mine] |= True if labels is None else labels[mine] == labels[other]
        alike[rows[np.isin(hashes[rows], hashes[train])]] = False
        found = int(alike.sum())
        counts[split] = NearRows(rows=found, share=found / max(len(rows), 1), of=len(rows))
    return counts


def _pairs(
    bits: Bits, train: NDArray[np.int64], rows: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield samples of `rows` and the training samples they nearly equal, some repeatedly."""
    width = bits.shape[1]
    if width < LEAST_PLACES or not len(train) or not len(rows):
        return
    known = bits[train[:: -(-len(train) // COMPARED)]]
    ordered = np.sort(known, axis=0)
    varied = (ordered[1:] != ordered[:-1]).mean(axis=0) + 1e-9
    times = np.zeros((len(rows), width))
    for row in known:
        times += bits[rows] == row
    # of each value in bits: the rarer at its place, the more
    information = np.log2(len(known)) - np.log2(np.maximum(times, 1))
    least = BITS + np.log2(len(train)) + np.log2(len(rows))
    generator, columns = np.random.default_rng(0), np.ascontiguousarray(bits.T)
    for _ in range(DRAWS):
        drawn = generator.choice(
            width, min(DRAWN, width // 2), replace=False, p=varied / varied.sum()
        )
        weights = generator.integers(0, 2**63, len(drawn), dtype=np.uint64)
        hashes = (columns[drawn] * weights[:, None]).sum(axis=0)
        # The rows are few: sort them, and look up each training sample, the last one first.
        values, place_of = np.unique(hashes[rows], return_inverse=True)
        place = np.minimum(np.searchsorted(values, hashes[train]), len(values) - 1)
        agrees = np.flatnonzero(values[place] == hashes[train])[::-1]
        first = np.full(len(values), -1)
        first[place[agrees]] = agrees
        alike = np.flatnonzero(first[place_of] >= 0)
        mine, others = rows[alike], train[first[place_of[alike]]]
        shared = (information[alike] * (bits[mine] == bits[others])).sum(axis=1)
        near = (shared >= LIKE * information[alike].sum(axis=1)) & (shared >= least)
        yield mine[near], others[near]
