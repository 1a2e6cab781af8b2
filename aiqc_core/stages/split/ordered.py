"""Cut splits and folds in the order of time, or with groups kept together."""

from __future__ import annotations

import heapq
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from aiqc_core import counts
from aiqc_core.errors import SplitError
from aiqc_core.stages.split import stratify
from aiqc_core.stages.split.draw import SHOWN, generator
from aiqc_core.stages.split.folds import refuse_folds

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

TOLERANCE = 0.05  # of all samples, or one; groups that miss a size by more get a warning


def split_in_order(
    n: int,
    *,
    size_test: float | None = None,
    size_validation: float | None = None,
    gap: int = 0,
) -> dict[str, NDArray[np.int64]]:
    """Cut `n` samples by position: train first, then validation, then test.

    Sizes and result are those of `stratify.split`. The `gap` samples before each later split are
    taken from train and unused.

    Raises:
        SplitError: an impossible size or gap, or nothing left to train.

    >>> {k: v.tolist() for k, v in split_in_order(6, size_test=0.3, gap=1).items()}
    {'train': [0, 1, 2], 'test': [4, 5]}
    """
    counts.whole("gap", gap, least=0)
    cut, end = {}, n
    for name, count in _counts(n, size_test, size_validation).items():
        cut[name] = np.arange(end - count, end, dtype=np.int64)
        end -= count + int(gap)
    if end < 1:
        raise SplitError(
            f"size_test={size_test}, size_validation={size_validation}, gap={gap}: of {n} samples "
            "none is left to train. Use smaller sizes, a smaller gap, or more samples."
        )
    return {"train": np.arange(end, dtype=np.int64)} | dict(reversed(cut.items()))


def fold_in_order(
    train: NDArray[np.int64], *, fold_count: int, gap: int = 0
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Cut training positions into folds that only learn from the past (forward chaining).

    Each fold leaves out the next `len(train) // (fold_count + 1)` samples and trains on all
    before them. So no fold leaves out the samples on which the first one trains. Arguments and
    result are those of `folds.fold`; `gap` positions before the left-out samples are unused.

    Raises:
        SplitError: an impossible fold count or gap, or a fold with nothing to train on.

    >>> [(a.tolist(), b.tolist()) for a, b in fold_in_order(np.arange(3), fold_count=2)]
    [([0], [1]), ([0, 1], [2])]
    """
    counts.whole("gap", gap, least=0)
    rows = np.sort(np.asarray(train, dtype=np.int64))
    refuse_folds(fold_count, max(len(rows) - 1, 0), f"{len(rows)} training samples in order")
    size = len(rows) // (fold_count + 1)
    starts = range(len(rows) - fold_count * size, len(rows), size)
    folds = [(rows[rows < rows[at] - gap], rows[at : at + size]) for at in starts]
    if not len(folds[0][0]):
        raise SplitError(
            f"gap={gap}, fold_count={fold_count}: of {len(rows)} training samples the first fold "
            f"has {starts[0]} before what it leaves out, and the gap takes them all. Use a "
            "smaller gap, fewer folds, or more samples."
        )
    return folds


def split_groups(
    groups: ArrayLike,
    *,
    size_test: float | None = None,
    size_validation: float | None = None,
    seed: int,
) -> dict[str, NDArray[np.int64]]:
    """Cut samples so that no group is in two splits.

    Groups come in random order; each is taken if it brings the split nearer to its size. Every
    split gets at least one. It warns about a size that groups miss by more than a twentieth of
    all samples. Sizes are shares of the samples, not of the groups; see `stratify.split`, also
    for the result.

    Raises:
        SplitError: a missing group, fewer groups than splits, or an impossible size.
    """
    codes, sizes = _coded(groups)
    wanted = _counts(len(codes), size_test, size_validation)
    if len(sizes) < 1 + len(wanted):
        raise SplitError(
            f"groups: {len(sizes)} groups for {1 + len(wanted)} splits; each split needs a group "
            "of its own. Cut less often, or use a column with more groups."
        )
    order = generator(seed).permutation(len(sizes))
    cut: dict[str, NDArray[np.int64]] = {}
    for to_cut, (name, count) in zip(range(len(wanted), 0, -1), wanted.items(), strict=True):
        taken = _nearest(sizes[order], count, most=len(order) - to_cut)
        cut[name] = np.flatnonzero(np.isin(codes, order[taken]))
        order = order[~taken]
        if abs(len(cut[name]) - count) > max(1, TOLERANCE * len(codes)):
            warnings.warn(
                f"size_{name}: {count} of {len(codes)} samples asked for; whole groups give "
                f"{len(cut[name])}.",
                stacklevel=2,
            )
    return {"train": np.flatnonzero(np.isin(codes, order))} | dict(reversed(cut.items()))


def fold_groups(
    train: NDArray[np.int64], groups: ArrayLike, *, fold_count: int, seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Cut training positions into folds so that no group is in two of them.

    Each group, the largest first, goes to the fold that has the fewest samples so far. It warns
    about folds that still differ by more than a twentieth of the samples. Arguments and result
    are those of `folds.fold`; `groups` are those of all samples, and `seed` orders equal sizes.

    Raises:
        SplitError: a missing group, or more folds than groups.
    """
    rows = np.sort(np.asarray(train, dtype=np.int64))
    _, codes, sizes = np.unique(_coded(groups)[0][rows], return_inverse=True, return_counts=True)
    refuse_folds(fold_count, len(sizes), f"{len(sizes)} groups among the training samples")
    loads = [(0, index) for index in range(fold_count)]
    fold_of_group = np.empty(len(sizes), dtype=np.int64)
    for group in np.lexsort((generator(seed).random(len(sizes)), -sizes)):
        load, index = heapq.heappop(loads)
        fold_of_group[group] = index
        heapq.heappush(loads, (load + int(sizes[group]), index))
    low, high = min(loads)[0], max(loads)[0]
    if high - low > max(1, TOLERANCE * len(rows)):
        warnings.warn(
            f"fold_count: whole groups give {fold_count} folds of {low} to {high} of "
            f"{len(rows)} training samples.",
            stacklevel=2,
        )
    fold_of = fold_of_group[codes]
    return [(rows[fold_of != index], rows[fold_of == index]) for index in range(fold_count)]


def _counts(n: int, size_test: float | None, size_validation: float | None) -> dict[str, int]:
    """Return the sizes of the splits, test first: those of a random cut."""
    cut = stratify.split(n, size_test=size_test, size_validation=size_validation, seed=0)
    return {name: len(cut[name]) for name in reversed(cut) if name != "train"}


def _nearest(sizes: NDArray[np.int64], count: int, *, most: int) -> NDArray[np.bool_]:
    """Choose groups, in order, that bring their sum near to `count`: from one to `most` groups."""
    taken = np.zeros(len(sizes), dtype=bool)
    total = chosen = 0
    for index, size in enumerate(sizes):
        if chosen < most and abs(total + size - count) < abs(total - count):
            taken[index] = True
            total, chosen = total + int(size), chosen + 1
    if not chosen:
        taken[sizes.argmin()] = True
    return taken


def _coded(groups: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the group of each sample as a number from 0, and the size of each group."""
    codes, _ = pd.factorize(pd.Series(groups), sort=True)
    missing = np.flatnonzero(codes < 0)
    if len(missing):
        raise SplitError(
            f"groups: the group is missing in {len(missing)} rows, the first are "
            f"{missing[:SHOWN].tolist()}. Fill them or leave them out."
        )
    return codes.astype(np.int64), np.bincount(codes)
