"""Cut the training samples into cross-validation folds."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from aiqc_core import counts
from aiqc_core.errors import SplitError
from aiqc_core.stages.split.draw import generator, refuse_small_classes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aiqc_core.stages.split.stratify import Strata

LEAST_FOLDS = 2


def fold(
    train: NDArray[np.int64], *, fold_count: int, strata: Strata | None = None, seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Cut training positions into folds, stratified where strata are given.

    The samples of one class after the other, shuffled within the class, go to the folds in turn:
    folds differ by at most one sample, in all and of each class.

    Args:
        train: positions of the samples that train.
        fold_count: number of folds, at least 2.
        strata: of all samples, not only of these.
        seed: of the draw.

    Returns:
        For each fold the sorted positions that train and those left out, which partition `train`.

    Raises:
        SplitError: fewer than 2 folds, or more folds than samples or than the smallest class.
    """
    rows = np.sort(np.asarray(train, dtype=np.int64))
    samples = len(rows)
    refuse_folds(fold_count, samples, f"{samples} training samples")
    if samples % fold_count:
        warnings.warn(
            f"fold_count: {samples} training samples do not divide by {fold_count}; "
            f"{samples % fold_count} of the folds are one sample larger.",
            stacklevel=2,
        )
    codes = np.zeros(samples, dtype=np.int64)
    if strata is not None and len(strata.names) > 1:
        codes = strata.codes[rows]
        refuse_small_classes(f"fold_count={fold_count}", codes, strata.names, fold_count)
    dealt = np.lexsort((generator(seed).random(samples), codes))
    fold_of = np.empty(samples, dtype=np.int64)
    fold_of[dealt] = np.arange(samples) % fold_count
    return [(rows[fold_of != index], rows[fold_of == index]) for index in range(fold_count)]


def refuse_folds(fold_count: int, most: int, there_are: str) -> None:
    """Refuse fewer than two folds, or more than `most`, which would be empty."""
    counts.whole("fold_count", fold_count, least=LEAST_FOLDS)
    if fold_count > most:
        raise SplitError(f"fold_count: {fold_count} folds of {there_are}; give at most {most}.")
