"""Make samples of new rows, batch by batch, as in training.

Nothing is fitted here. New rows of a table are filled among themselves, in their order; rows of
the very data that trained are filled as they were in training.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.api import types

from aiqc_core.errors import PreprocessError
from aiqc_core.stages.ingest.selection import SHOWN
from aiqc_core.stages.preprocess import samples
from aiqc_core.stages.preprocess.samples import Prepared

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from aiqc_core.stages.preprocess.pipeline import FittedFeature, FittedLabel
    from aiqc_core.stages.preprocess.samples import FeatureRecipe, FillStep
    from aiqc_core.stages.preprocess.values import Array, Ints, Splits
    from aiqc_core.stages.preprocess.window import Windows

NEW = "new"
BATCH_BYTES = 2**25
MODEL_BATCH = 4096  # what the model is given at once, as in training
MOST_BATCHES = 12


@dataclass(frozen=True, slots=True)
class Trained:
    """The splits of data that trained, and the windows over its rows then, if any."""

    splits: Splits
    windows: Windows | None = None


@dataclass(frozen=True, slots=True)
class NewSamples:
    """A feature of new rows, ready to give any run of its samples."""

    prepared: Prepared  # the rows, filled, by split: `'new'`, or those of training
    count: int  # of samples
    forecasts: bool = False  # whether training learned to give shifted windows
    passed_over: str | None = None  # values that encoders pass over, see `unknown.found`

    @property
    def knows_target(self) -> bool:
        """Whether an unsupervised target is known: that of a forecast may be in the future."""
        windows = self.prepared.recipe.windows
        return not self.forecasts or (windows is not None and windows.record_shifted)

    def batch(self, start: int, stop: int, *, target: bool = False) -> Array:
        """Return the samples from `start` to before `stop`, `(samples, …)`, numeric.

        With `target`, what an unsupervised model learns: shifted windows where it forecasts, else
        the samples themselves.
        """
        shifted = target and self.forecasts
        stop = min(stop, self.count)
        whole: Array | None = None
        for split, positions in self.prepared.splits.items():
            inside = np.flatnonzero((positions >= start) & (positions < stop))
            if not len(inside):
                continue
            part = self._part(split, positions[inside], shifted=shifted)
            if len(inside) == stop - start and (np.diff(positions[inside]) == 1).all():
                return part
            if whole is None:
                whole = np.empty((stop - start, *part.shape[1:]), dtype=part.dtype)
            whole[positions[inside] - start] = part
        return np.empty(0) if whole is None else whole

    def _part(self, split: str, chosen: Ints, *, shifted: bool) -> Array:
        windows, rows = self.prepared.recipe.windows, self.prepared.rows[split]
        needed = chosen if windows is None else windows.rows(chosen, shifted=shifted)
        order = np.argsort(rows, kind="stable")
        places: Any = order[np.searchsorted(rows, needed, sorter=order)]
        if len(places) and (np.diff(places) == 1).all():  # a view of consecutive ones
            places = slice(int(places[0]), int(places[-1]) + 1)
        filled = self.prepared.filled[split]
        part = (filled.iloc if isinstance(filled, pd.DataFrame) else filled)[places]
        chosen_alone = replace(
            self.prepared, splits={split: chosen}, rows={split: needed}, filled={split: part}
        )
        return chosen_alone.samples(split, shifted=shifted)


@dataclass(frozen=True, slots=True)
class Batches:
    """Samples of several features of equal count, in batches of `size`; iterable repeatedly."""

    features: Sequence[NewSamples]
    size: int

    def __iter__(self) -> Iterator[list[Array]]:
        """Yield an array a feature, batch by batch."""
        for start in range(0, self.features[0].count, self.size):
            yield [feature.batch(start, start + self.size) for feature in self.features]

    @property
    def passed_over(self) -> str | None:
        """Which values encoders pass over, of all features; None where there are none."""
        return "; ".join(filter(None, (each.passed_over for each in self.features))) or None

    def target(self) -> Array:
        """Return what an unsupervised model should have given, `(samples, …)`."""
        (feature,) = self.features
        starts = range(0, feature.count, self.size)
        return np.concatenate([feature.batch(i, i + self.size, target=True) for i in starts])

    def checked(self, shapes: Sequence[tuple[int, ...]]) -> Iterable[list[Array]]:
        """Encode every batch once, so that errors come first; a single one is not encoded again.

        `shapes` are those of one sample of each feature in training.

        Raises:
            PreprocessError: a category that was never seen, blanks, or samples of another shape.
        """
        for batch in self:
            found = [part.shape[1:] for part in batch]
            if found != list(shapes):
                raise PreprocessError(
                    f"features: one sample has the shapes {found}; the model was trained on "
                    f"{list(shapes)}. Give data of the size that it was trained on."
                )
            if self.features[0].count <= self.size:
                return [batch]
        return self


def size_of_batches(shapes: Sequence[tuple[int, ...]]) -> int:
    """Return how many samples of these shapes are held at once: some 32 MiB, at least one.

    >>> size_of_batches([(10,)]), size_of_batches([(3, 512, 512)])
    (49152, 5)
    """
    values = sum(math.prod(shape) for shape in shapes)
    fitting = max(BATCH_BYTES // (values * np.dtype(np.float64).itemsize), 1)
    whole = min(fitting // MODEL_BATCH, MOST_BATCHES) * MODEL_BATCH
    return whole or fitting


def prepare(
    values: Any,
    recipe: FeatureRecipe,
    fitted: FittedFeature,
    count: int,
    trained: Trained | None = None,
    *,
    forecasts: bool = False,
) -> NewSamples:
    """Fill new rows, all of the fitted columns, ready to be encoded by an earlier fit.

    `recipe` is that of training, with the windows of these rows, which give `count` samples;
    `trained` is None unless these very rows trained. See `NewSamples` for `forecasts`.

    Raises:
        PreprocessError: blanks that cannot be filled.
    """
    values = _fillable(values, recipe)
    if trained is None or not recipe.fills or not isinstance(values, pd.DataFrame):
        ready = samples.prepare_as(values, recipe, fitted, {NEW: np.arange(count)})
        return NewSamples(ready, count, forecasts)
    splits, rows = _as_trained(count, recipe.windows, trained)
    filled = samples.fill_rows(values, recipe.fills, rows)
    return NewSamples(Prepared(fitted, recipe, splits, rows, filled), count, forecasts)


def filled_rows(
    frame: pd.DataFrame, fills: Sequence[FillStep], trained: Trained | None = None
) -> pd.DataFrame:
    """Return the rows of a label, filled as its feature's are; see `prepare`."""
    if not fills:
        return frame
    if trained is None:
        return samples.fill_rows(frame, fills, {NEW: np.arange(len(frame))})[NEW]
    _, rows = _as_trained(len(frame), None, trained)
    filled = samples.fill_rows(frame, fills, rows)
    order = np.argsort(np.concatenate(list(rows.values())), kind="stable")
    return pd.concat(list(filled.values())).iloc[order].reset_index(drop=True)


def refuse_unknown_classes(frame: pd.DataFrame, fitted: FittedLabel) -> None:
    """Refuse a label with classes that training did not see: some encoders would miscode them.

    Raises:
        PreprocessError: it names the column and the values.
    """
    columns = list(fitted.columns)
    if fitted.classes is None or len(columns) > 1:
        return
    name = columns[0]
    present: Any = frame[name].dropna()
    if types.is_datetime64_any_dtype(present.dtype):
        return  # classes are its text, which the encoder compares
    unknown = present[~present.isin(list(fitted.classes))].unique().tolist()
    if unknown:
        raise PreprocessError(
            f"label: column {name!r} holds {unknown[:SHOWN]}, which the model was not trained to "
            f"tell; its classes are {list(fitted.classes)}. Leave these rows out, or predict "
            "without a label."
        )


def _as_trained(
    count: int, windows: Windows | None, trained: Trained
) -> tuple[dict[str, Ints], dict[str, Ints]]:
    """Return samples and rows by split of training; those of none are one more split."""
    splits = {split: np.asarray(positions) for split, positions in trained.splits.items()}
    rest = np.setdiff1d(np.arange(count), np.concatenate(list(splits.values())))
    rows = samples.rows_under(splits, trained.windows)
    if len(rest):
        splits[NEW] = rest
        rows[NEW] = rest if windows is None else windows.rows(rest)
    return splits, rows


def _fillable(values: Any, recipe: FeatureRecipe) -> Any:
    """Return values with floating dtypes in the columns to fill."""
    if not recipe.fills:
        return values
    if not isinstance(values, pd.DataFrame):
        return values if values.dtype.kind == "f" else values.astype(np.float64)
    names = [name for fill in recipe.fills for name in fill.columns]
    whole = [name for name in names if not types.is_float_dtype(values[name].dtype)]
    return values.astype(dict.fromkeys(whole, "float64")) if whole else values
