"""Splits and folds that keep the order of time, or keep groups together."""

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
from aiqc_core.stages.split.folds import LEAST_FOLDS

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

TOLERANCE = (
    0.05  # of all samples, by which groups may miss a size before it is told; one may always
)


def split_in_order(
    n: int,
    *,
    size_test: float | None = None,
    size_validation: float | None = None,
    gap: int = 0,
) -> dict[str, NDArray[np.int64]]:
    """Cut samples by position: train first, then validation, then test.

    Args:
        n: how many samples.
        size_test: share of the whole for test; sizes are those of `stratify.split`.
        size_validation: share of the whole for validation.
        gap: samples left out before each later split, taken from train.

    Returns:
        `{"train", "validation", "test"}`, those asked for, as sorted positions. With a gap they
        do not sum to `n`.

    Raises:
        SplitError: a size or gap that cannot be, or nothing left to train.

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

    Each fold leaves out the next `len(train) // (fold_count + 1)` samples and trains on all that
    come before them. What the first fold trains on is therefore left out by none.

    Args:
        train: positions of the samples that train.
        fold_count: how many folds, at least 2.
        gap: positions left out between what trains and what is left out.

    Returns:
        For each fold the positions that train and those that are left out, sorted.

    Raises:
        SplitError: a fold count or gap that cannot be, or a fold with nothing to train on.

    >>> [(a.tolist(), b.tolist()) for a, b in fold_in_order(np.arange(3), fold_count=2)]
    [([0], [1]), ([0, 1], [2])]
    """
    counts.whole("gap", gap, least=0)
    rows = np.sort(np.asarray(train, dtype=np.int64))
    _refuse_folds(fold_count, max(len(rows) - 1, 0), f"{len(rows)} training samples in order")
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

    Groups are drawn in random order, each taken if it brings the split nearer to its size; every
    split gets at least one. A size that groups miss by more than a twentieth of all samples is
    told in a warning.

    Args:
        groups: the group of each sample, `(samples,)`.
        size_test: share of all samples (not of the groups) for test.
        size_validation: share of all samples for validation.
        seed: of the draw.

    Returns:
        `{"train", "validation", "test"}`, those asked for, as sorted positions.

    Raises:
        SplitError: a missing group, fewer groups than splits, or a size that cannot be.

    >>> cut = split_groups(["a", "a", "b"], size_test=0.3, seed=0)
    >>> {name: rows.tolist() for name, rows in cut.items()}
    {'train': [0, 1], 'test': [2]}
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
        _tell_size(name, len(cut[name]), count, len(codes))
    return {"train": np.flatnonzero(np.isin(codes, order))} | dict(reversed(cut.items()))


def fold_groups(
    train: NDArray[np.int64], groups: ArrayLike, *, fold_count: int, seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Cut training positions into folds so that no group is in two of them.

    The largest groups are dealt first, each to the fold that has the fewest samples so far. Folds
    that still differ by more than a twentieth of the samples are told in a warning.

    Args:
        train: positions of the samples that train.
        groups: the group of each of all samples, not only of these.
        fold_count: how many folds, at least 2.
        seed: orders groups of one size.

    Returns:
        For each fold the positions that train and those that are left out, sorted. The left-out
        parts partition `train`.

    Raises:
        SplitError: a missing group, or more folds than groups.

    >>> [b.tolist() for _, b in fold_groups(np.arange(3), list("aab"), fold_count=2, seed=0)]
    [[0, 1], [2]]
    """
    rows = np.sort(np.asarray(train, dtype=np.int64))
    _, codes, sizes = np.unique(_coded(groups)[0][rows], return_inverse=True, return_counts=True)
    _refuse_folds(fold_count, len(sizes), f"{len(sizes)} groups among the training samples")
    loads = [(0, index) for index in range(fold_count)]
    fold_of_group = np.empty(len(sizes), dtype=np.int64)
    for group in np.lexsort((generator(seed).random(len(sizes)), -sizes)):
        load, index = heapq.heappop(loads)
        fold_of_group[group] = index
        heapq.heappush(loads, (load + int(sizes[group]), index))
    _tell_folds([load for load, _ in loads], len(rows))
    fold_of = fold_of_group[codes]
    return [(rows[fold_of != index], rows[fold_of == index]) for index in range(fold_count)]


def _counts(n: int, size_test: float | None, size_validation: float | None) -> dict[str, int]:
    """Return how many samples to cut, test first: as many as a random cut has."""
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
    """Return the group of each sample as a number from 0, and how many samples each group has."""
    codes, _ = pd.factorize(pd.Series(groups), sort=True)
    missing = np.flatnonzero(codes < 0)
    if len(missing):
        raise SplitError(
            f"groups: the group is missing in {len(missing)} rows, the first are "
            f"{missing[:SHOWN].tolist()}. Fill them or leave them out."
        )
    return codes.astype(np.int64), np.bincount(codes)


def _tell_size(name: str, count: int, wanted: int, n: int) -> None:
    if abs(count - wanted) > max(1, TOLERANCE * n):
        warnings.warn(
            f"size_{name}: {wanted} of {n} samples asked for; whole groups give {count}.",
            stacklevel=3,
        )


def _tell_folds(loads: list[int], n: int) -> None:
    if max(loads) - min(loads) > max(1, TOLERANCE * n):
        warnings.warn(
            f"fold_count: whole groups give {len(loads)} folds of {min(loads)} to {max(loads)} of "
            f"{n} training samples.",
            stacklevel=3,
        )


def _refuse_folds(fold_count: int, most: int, there_are: str) -> None:
    counts.whole("fold_count", fold_count, least=LEAST_FOLDS)
    if fold_count > most:
        raise SplitError(f"fold_count: {fold_count} folds of {there_are}; give at most {most}.")
