"""Cut samples into splits and folds."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.counts import flag, whole
from aiqc_core.errors import SplitError
from aiqc_core.stages.split import folds, ordered, stratify
from aiqc_core.stages.split.draw import generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Positions = NDArray[np.int64]

# The options of Splitset.make that decide which samples are where, besides the seed.
OPTIONS = (
    "size_test", "size_validation", "fold_count", "bin_count", "groups", "time_ordered", "gap",
    "unsupervised_stratify_col",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cut:
    """The samples of each split and fold, as sorted positions."""

    splits: dict[str, Positions]  # "train", and "validation" and "test" if requested
    folds: list[tuple[Positions, Positions]]  # the parts of train that train and are left out
    bin_count: int | None  # number of quantiles; None if stratified by classes, or not at all

    def fold_splits(self, idx: int) -> dict[str, Positions]:
        """Return the splits of one fold: its two parts of train, then the other splits."""
        train, left_out = self.folds[idx]
        others = {name: rows for name, rows in self.splits.items() if name != "train"}
        return {"folds_train_combined": train, "fold_validation": left_out} | others


def cut(  # noqa: PLR0913 - the options of Splitset.make
    samples: int,
    *,
    stratify_by: stratify.Basis | None = None,
    size_test: float | None = None,
    size_validation: float | None = None,
    bin_count: int | None = None,
    fold_count: int | None = None,
    groups: NDArray[Any] | None = None,
    time_ordered: bool = False,
    gap: int = 0,
    seed: int,
) -> Cut:
    """Cut samples; warn about classes that a split lacks.

    Args:
        samples: their number.
        stratify_by: the value of each sample; without, the cut is purely random. Cuts in order
            or by groups are not stratified, and use it for the warning only.
        size_test: share for test, in (0, 1).
        size_validation: share of the whole for validation, in (0, 1).
        bin_count: see `stratify.strata`.
        fold_count: number of folds cut from train; None makes none.
        groups: the group of each sample; none is in two splits or folds.
        time_ordered: cut by position: train first, then validation, then test.
        gap: samples left out between the parts of a cut in order.
        seed: of every draw.

    Raises:
        SplitError: arguments that exclude each other, or an impossible split.
    """
    generator(seed)  # refuses a wrong seed, also where this cut does not draw
    refuse_arguments(
        bin_count=bin_count, groups=groups, time_ordered=time_ordered, gap=gap,
        has_basis=bool(stratify_by),
    )  # fmt: skip
    strata = None
    if stratify_by is not None:
        has_classes = stratify_by.values.ndim > 1 or stratify_by.values.dtype.kind != "f"
        if has_classes or (not time_ordered and groups is None):  # else they warn of nothing
            strata = stratify.strata(
                stratify_by.values, bin_count=bin_count,
                names=stratify_by.names, argument=stratify_by.argument,
            )  # fmt: skip
    sizes: dict[str, Any] = {"size_test": size_test, "size_validation": size_validation}
    if time_ordered:
        splits = ordered.split_in_order(samples, **sizes, gap=gap)
        fold = partial(ordered.fold_in_order, gap=gap)
    elif groups is not None:
        splits = ordered.split_groups(groups, **sizes, seed=seed)
        fold = partial(ordered.fold_groups, groups=groups, seed=seed)
    else:
        splits = stratify.split(samples, strata=strata, **sizes, seed=seed)
        fold = partial(folds.fold, strata=strata, seed=seed)
    parts = [] if fold_count is None else fold(splits["train"], fold_count=fold_count)
    if strata is None:
        return Cut(splits, parts, None)
    named = dict(splits)
    for idx, (train, left_out) in enumerate(parts):
        named |= {f"folds_train_combined {idx}": train, f"fold_validation {idx}": left_out}
    for name, class_name in stratify.absent(strata, named):
        warnings.warn(
            f"Splitset.make: the split {name!r} has no sample of class {class_name!r}; its "
            "metrics for that class will be NaN. Use more samples or larger splits.",
            stacklevel=3,
        )
    return Cut(splits, parts, strata.bin_count)


def refuse_arguments(
    *, bin_count: int | None, groups: object, time_ordered: object, gap: int, has_basis: bool
) -> None:
    """Refuse arguments of a cut that exclude each other, whatever the samples are."""
    flag("time_ordered", time_ordered)
    whole("gap", gap, least=0)
    if groups is not None and time_ordered:
        raise SplitError("groups and time_ordered: give one of the two, not both.")
    if gap and not time_ordered:
        raise SplitError(
            f"gap: {gap} without time_ordered=True; a gap separates ordered parts only."
        )
    is_stratified = not time_ordered and groups is None
    if bin_count is None or (is_stratified and has_basis):
        return
    why = (
        "there is no Label and no unsupervised_stratify_col"
        if is_stratified
        else "cuts by time_ordered or groups are not stratified"
    )
    raise SplitError(
        f"bin_count: {bin_count}, but nothing is cut by quantiles: {why}. Leave it out."
    )


def per_sample(values: NDArray[Any]) -> NDArray[Any]:
    """Return one value a sample to stratify by: the median of numbers, else the commonest value.

    >>> per_sample(np.array([[1.0, 5.0, 3.0], [2.0, 2.0, 9.0]])).tolist()
    [3.0, 2.0]
    >>> per_sample(np.array([["b", "a", "b"]])).tolist()
    ['b']
    """
    rows = values.reshape(len(values), -1)
    if rows.shape[1] == 1:
        return rows[:, 0]
    if rows.dtype.kind in "biuf":
        return np.median(rows, axis=1)
    commonest: list[Any] = []
    for row in rows:
        found, counts = np.unique(row, return_counts=True)
        commonest.append(found[counts.argmax()])
    return np.array(commonest)
