"""Cutting the training samples into cross-validation folds."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold

from aiqc_core.errors import SplitError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aiqc_core.split.stratify import Strata

LEAST_FOLDS = 2


def fold(
    train: NDArray[np.int64], *, fold_count: int, strata: Strata | None = None, seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Cut training positions into folds, stratified where strata are given.

    Args:
        train: positions of the samples that train.
        fold_count: how many folds, at least 2.
        strata: of all samples, not only of these.
        seed: of the draw.

    Returns:
        For each fold the positions that train and those that are left out, sorted. The left-out
        parts partition `train`.

    Raises:
        SplitError: fewer than 2 folds, or more folds than samples or than the smallest class.

    >>> [left.tolist() for _, left in fold(np.arange(4), fold_count=2, seed=0)]
    [[2, 3], [0, 1]]
    """
    if isinstance(fold_count, bool) or int(fold_count) != fold_count or fold_count < LEAST_FOLDS:
        raise SplitError(f"fold_count: {fold_count!r}; give a whole number of at least 2.")
    if fold_count > len(train):
        raise SplitError(f"fold_count: {fold_count} folds of {len(train)} training samples.")
    if len(train) % fold_count:
        warnings.warn(
            f"fold_count: {len(train)} training samples do not divide by {fold_count}; some folds "
            "are one sample larger.",
            stacklevel=3,
        )
    codes = None if strata is None or len(strata.names) == 1 else strata.codes[train]
    if codes is not None and strata is not None:
        _refuse_small_classes(codes, strata, fold_count)
    cutter = (KFold if codes is None else StratifiedKFold)(
        n_splits=fold_count, shuffle=True, random_state=seed
    )
    return [(train[kept], train[left]) for kept, left in cutter.split(train, codes)]


def _refuse_small_classes(codes: NDArray[np.int64], strata: Strata, fold_count: int) -> None:
    counts = np.bincount(codes, minlength=len(strata.names))
    small = {strata.names[c]: int(k) for c, k in enumerate(counts) if 0 < k < fold_count}
    if small:
        raise SplitError(
            f"fold_count: {fold_count} folds need as many training samples of each class; there "
            f"are {small}. Use fewer folds, add samples, or merge classes."
        )
