"""From a feature's values to the samples of each split: fill, encode, window, reshape.

Only the rows of the training split are fitted on. Tables are filled split by split, sequences and
images table by table; encoders see rows `(…, columns)`, whatever the number of axes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from aiqc_core.stages.preprocess import encode, interpolate, pipeline, reshape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiqc_core.stages.preprocess.values import Array, Ints, Splits
    from aiqc_core.stages.preprocess.window import Windows


@dataclass(frozen=True, slots=True)
class FillStep:
    """One interpolater and its columns; see `interpolate.fill_splits`."""

    columns: tuple[str, ...]
    kwargs: Mapping[str, Any]
    process_separately: bool


@dataclass(frozen=True, slots=True)
class FeatureRecipe:
    """The steps of a feature, in order: fills, the encoders of the plan, windows, reshape."""

    plan: pipeline.FeaturePlan
    fills: tuple[FillStep, ...] = ()
    windows: Windows | None = None
    reshape_indices: tuple[Any, ...] | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A feature that was filled and fitted, ready to give the samples of any split."""

    fitted: pipeline.FittedFeature
    recipe: FeatureRecipe
    splits: Splits  # positions of samples a split; of windows where there are some
    rows: Splits  # positions of rows a split
    filled: Mapping[str, Any]  # the rows of each split, in the order of `rows`

    def samples(self, split: str, *, shifted: bool = False) -> Array:
        """Return the samples of a split, numeric; `shifted` windows are targets of a forecast."""
        part = self.filled[split]
        encoded = pipeline.apply_feature(self.fitted, as_rows(part, self.fitted.columns))
        encoded = encoded.reshape(*part.shape[:-1], encoded.shape[-1])
        windows = self.recipe.windows
        if windows is not None:
            starts = windows.start(0, shifted=shifted) + self.splits[split] * windows.size_shift
            first = np.searchsorted(self.rows[split], starts)
            encoded = _runs(encoded, first, windows.size_window)
        indices = self.recipe.reshape_indices
        return encoded if indices is None else reshape.apply(encoded, indices)


@dataclass(frozen=True, slots=True)
class Target:
    """What an unsupervised model learns: samples of a feature itself."""

    fitted: pipeline.FittedFeature
    shape: tuple[int, ...]  # before the reshape, `(samples, …, columns)`
    reshape_indices: tuple[Any, ...] | None

    def decode(self, values: Array) -> Array:
        """Return what a model gives in the feature's own units, `(samples, …, columns)`.

        The dtype is object where a column holds words; samples that are not finite are NaN.
        """
        if self.reshape_indices is not None:
            values = reshape.restore(values, self.shape, self.reshape_indices)
        rows = values.reshape(-1, values.shape[-1])
        finite = np.isfinite(rows).all(axis=1)
        back = np.full((len(rows), len(self.fitted.columns)), np.nan)
        if finite.any():
            meant = encode.nearest_codes(self.fitted.encoders, rows[finite])
            found = pipeline.invert_feature(self.fitted, meant)
            back = back if found.dtype.kind in "biuf" else back.astype(object)
            back[finite] = found
        return back.reshape(*values.shape[:-1], len(self.fitted.columns))


def prepare(values: Any, recipe: FeatureRecipe, splits: Splits) -> Prepared:
    """Fill and fit a feature; the first of the splits trains.

    `values` holds all rows of its columns: a DataFrame, or an array `(rows, …, columns)`.

    Raises:
        PreprocessError: see `interpolate`, `pipeline` and `reshape`.

    >>> frame = pd.DataFrame({"a": [0.0, None, 2.0, 3.0]})
    >>> fill = FillStep(("a",), {"method": "linear"}, process_separately=True)
    >>> recipe = FeatureRecipe(pipeline.FeaturePlan(("a",)), (fill,))
    >>> prepare(frame, recipe, {"train": np.arange(3)}).samples("train").ravel().tolist()
    [0.0, 1.0, 2.0]
    """
    rows, whole, filled = _filled(values, recipe, splits)
    first = next(iter(rows))
    train: Ints | None = None
    if not any(step.fit_on_all for step in recipe.plan.steps):
        whole = filled[first]
    elif isinstance(whole, pd.DataFrame):
        whole = with_filled(whole, rows, filled) if recipe.fills else whole
        train = rows[first]
    else:  # each sample has as many rows as its inner axes, flattened, hold
        inner = int(np.prod(whole.shape[1:-1]))
        train = (rows[first][:, None] * inner + np.arange(inner)).ravel()
    fitted = pipeline.fit_feature(as_rows(whole, recipe.plan.columns), recipe.plan, train)
    return Prepared(fitted, recipe, dict(splits), rows, filled)


def prepare_as(
    values: Any, recipe: FeatureRecipe, fitted: pipeline.FittedFeature, splits: Splits
) -> Prepared:
    """Prepare new values like earlier ones: filled among themselves, encoded by that fit.

    `recipe` is that of the earlier values, with the windows of the new ones.
    """
    rows, _, filled = _filled(values, recipe, splits)
    return Prepared(fitted, recipe, dict(splits), rows, filled)


def _filled(
    values: Any, recipe: FeatureRecipe, splits: Splits
) -> tuple[dict[str, Ints], Any, dict[str, Any]]:
    """Return row positions by split, all values (an array filled), and filled rows by split."""
    rows = rows_under(splits, recipe.windows)
    if isinstance(values, pd.DataFrame):
        return rows, values, fill_rows(values, recipe.fills, rows)
    whole = _filled_tables(values, recipe)
    return rows, whole, {split: whole[positions] for split, positions in rows.items()}


def rows_under(splits: Splits, windows: Windows | None) -> dict[str, Ints]:
    """Return the positions of the rows under the samples of each split."""
    return dict(splits) if windows is None else {s: windows.rows(p) for s, p in splits.items()}


def fill_rows(frame: pd.DataFrame, fills: Sequence[FillStep], rows: Splits) -> dict[str, Any]:
    """Return the rows of each split of a table, with its interpolaters applied."""
    parts = {s: frame.iloc[positions].reset_index(drop=True) for s, positions in rows.items()}
    for fill in fills:
        chosen = list(fill.columns)
        filled = interpolate.fill_splits(
            frame.loc[:, chosen], rows, chosen, fill.kwargs,
            process_separately=fill.process_separately,
        )  # fmt: skip
        for split, part in filled.items():
            parts[split] = parts[split].assign(**{name: part[name] for name in chosen})
    return parts


def trial_rows(values: Any, columns: Sequence[str], fills: Sequence[FillStep]) -> pd.DataFrame:
    """Return all rows of some columns, filled at once, on which an encoder is tried.

    `values` holds these columns, as in `prepare`; `fills` may name others too.
    """
    own = [replace(f, columns=tuple(c for c in f.columns if c in columns)) for f in fills]
    if isinstance(values, pd.DataFrame):
        return fill_rows(values, own, {"all": np.arange(len(values))})["all"]
    recipe = FeatureRecipe(pipeline.FeaturePlan(tuple(columns)), tuple(own))
    return as_rows(_filled_tables(values, recipe), columns)


def with_filled(frame: pd.DataFrame, rows: Splits, filled: Mapping[str, Any]) -> pd.DataFrame:
    """Return all rows of a table, the filled ones in their places; training values win."""
    whole = frame.copy(deep=False)  # what is written to is copied then, as always in pandas 3
    for split in reversed(list(rows)):
        for name in frame.columns:
            column = filled[split][name]
            if bool(whole[name].hasnans):
                whole.iloc[rows[split], whole.columns.get_loc(name)] = column.array
    return whole


def _runs(array: Array, first: Ints, length: int) -> Array:
    """Return runs of rows, `(runs, length, …)`: a view where they start at equal distances."""
    every = np.moveaxis(np.lib.stride_tricks.sliding_window_view(array, length, axis=0), -1, 1)
    steps = np.unique(np.diff(first))
    if len(steps) == 1 and steps[0] > 0:
        return every[first[0] :: steps[0]][: len(first)]
    return every[first]


def _filled_tables(array: Array, recipe: FeatureRecipe) -> Array:
    names = list(recipe.plan.columns)
    for fill in recipe.fills:
        positions = [names.index(name) for name in fill.columns]
        array = interpolate.fill_tables(array, positions, fill.kwargs, names=names)
    return array


def as_rows(values: Any, columns: Sequence[str]) -> pd.DataFrame:
    """Return a DataFrame, or an array `(…, columns)`, as rows of these columns."""
    if isinstance(values, pd.DataFrame):
        return values
    return pd.DataFrame(values.reshape(-1, values.shape[-1]), columns=list(columns), copy=False)
