"""A label's samples cut into splits and folds, in one call."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiqc_core.split import folds, stratify

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Cut:
    """Which samples go where.

    Attributes:
        splits: `{"train", "validation", "test"}`, those asked for, as sorted positions.
        folds: for each fold, the positions of train that train and those that are left out.
        bin_count: quantiles by which it was stratified; None for classes.
    """

    splits: dict[str, NDArray[np.int64]]
    folds: list[tuple[NDArray[np.int64], NDArray[np.int64]]]
    bin_count: int | None

    def fold_splits(self, idx: int) -> dict[str, NDArray[np.int64]]:
        """Return the splits of one fold: its two parts of train, then the others as they are."""
        train, left_out = self.folds[idx]
        others = {name: rows for name, rows in self.splits.items() if name != "train"}
        return {"folds_train_combined": train, "fold_validation": left_out} | others


def cut(
    label: NDArray[Any],
    *,
    size_test: float | None = None,
    size_validation: float | None = None,
    bin_count: int | None = None,
    fold_count: int | None = None,
    seed: int,
) -> Cut:
    """Cut samples, stratified by their label; warn of classes that a split lacks.

    Args:
        label: `(samples, width)`, one column or one-hot.
        size_test: see `stratify.split`.
        size_validation: see `stratify.split`.
        bin_count: see `stratify.strata`.
        fold_count: see `folds.fold`; None makes no folds.
        seed: of every draw.

    Raises:
        SplitError: see those functions.
    """
    strata = stratify.strata(label[:, 0] if label.shape[1] == 1 else label, bin_count=bin_count)
    splits = stratify.split(
        len(label), strata=strata, size_test=size_test, size_validation=size_validation, seed=seed
    )
    parts = (
        []
        if fold_count is None
        else folds.fold(splits["train"], fold_count=fold_count, strata=strata, seed=seed)
    )
    named = dict(splits)
    for idx, (train, left_out) in enumerate(parts):
        named |= {f"folds_train_combined {idx}": train, f"fold_validation {idx}": left_out}
    for split, class_name in stratify.absent(strata, named):
        warnings.warn(
            f"Splitset.make: the split {split!r} has no sample of class {class_name!r}; its "
            "metrics for that class will be NaN. Use more samples or larger splits.",
            stacklevel=3,
        )
    return Cut(splits, parts, strata.bin_count)
