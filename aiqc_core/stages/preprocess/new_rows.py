"""New rows made samples as those of training were, batch by batch.

Nothing is fitted here. New rows of a table are filled among themselves, in their order, since
their positions say nothing about those of the rows that trained. Where the data is the very one
that was trained on, positions do mean the same: then each row is filled as it was in training.
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

    from numpy.typing import NDArray

    from aiqc_core.stages.preprocess.pipeline import FittedFeature, FittedLabel
    from aiqc_core.stages.preprocess.samples import FeatureRecipe, FillStep, Splits
    from aiqc_core.stages.preprocess.window import Windows

NEW = "new"
BATCH_BYTES = 2**25
MODEL_BATCH = 4096  # what the model is given at once, as in training
MOST_BATCHES = 12


@dataclass(frozen=True, slots=True)
class Trained:
    """How the rows were split when they trained, for data that trained.

    Attributes:
        splits: positions of samples a split, the one that trained first.
        windows: over these rows then, if any.
    """

    splits: Splits
    windows: Windows | None = None


@dataclass(frozen=True, slots=True)
class NewSamples:
    """A feature of new rows, ready to give any run of its samples.

    Attributes:
        prepared: its rows, filled, by split: `'new'`, or those of training.
        count: how many samples there are.
        forecasts: whether training learned to give shifted windows.
        passed_over: which values no encoder knows, though none refuses them; see `unknown.found`.
    """

    prepared: Prepared
    count: int
    forecasts: bool = False
    passed_over: str | None = None

    @property
    def recipe(self) -> FeatureRecipe:
        """What is done to the feature."""
        return self.prepared.recipe

    @property
    def knows_target(self) -> bool:
        """Whether an unsupervised target is known: a forecast's may lie in the future."""
        windows = self.recipe.windows
        return not self.forecasts or (windows is not None and windows.record_shifted)

    def batch(self, start: int, stop: int, *, target: bool = False) -> NDArray[Any]:
        """Return the samples of a run, `(samples, …)`, numeric.

        Args:
            start: the first sample.
            stop: one past the last; more than there are is fine.
            target: whether what an unsupervised model learns is wanted: shifted windows where it
                forecasts, else the samples themselves.
        """
        shifted = target and self.forecasts
        stop = min(stop, self.count)
        whole: NDArray[Any] | None = None
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

    def _part(self, split: str, chosen: NDArray[np.int64], *, shifted: bool) -> NDArray[Any]:
        windows, rows = self.recipe.windows, self.prepared.rows[split]
        if windows is None:
            needed = chosen
            order = np.argsort(rows, kind="stable")
            places = order[np.searchsorted(rows, needed, sorter=order)]
        else:
            needed = windows.rows(chosen, shifted=shifted)
            places = np.searchsorted(rows, needed)
        part = replace(
            self.prepared,
            splits={split: chosen},
            rows={split: needed},
            filled={split: _at(self.prepared.filled[split], places)},
        )
        return part.samples(split, shifted=shifted)


@dataclass(frozen=True, slots=True)
class Batches:
    """Samples of several features side by side, a batch at a time; they can be walked again.

    Attributes:
        features: as many samples each.
        size: samples a batch.
    """

    features: Sequence[NewSamples]
    size: int

    def __iter__(self) -> Iterator[list[NDArray[Any]]]:
        """Yield an array a feature, batch by batch."""
        for start in range(0, self.features[0].count, self.size):
            yield [feature.batch(start, start + self.size) for feature in self.features]

    @property
    def passed_over(self) -> str | None:
        """Which values no encoder knows, of all features; None where there are none."""
        return "; ".join(filter(None, (each.passed_over for each in self.features))) or None

    def target(self) -> NDArray[Any]:
        """Return what an unsupervised model should have given, `(samples, …)`."""
        (feature,) = self.features
        starts = range(0, feature.count, self.size)
        return np.concatenate(
            [feature.batch(start, start + self.size, target=True) for start in starts]
        )

    def checked(self, shapes: Sequence[tuple[int, ...]]) -> Iterable[list[NDArray[Any]]]:
        """Encode every batch once, so that what cannot be encoded is known before all else.

        Args:
            shapes: of one sample of each feature, as in training.

        Returns:
            The same batches; what fits in one is not encoded again.

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
    """Fill new rows, ready to be encoded by an earlier fit.

    Args:
        values: all rows of the fitted columns, in their order: a DataFrame, or an array
            `(rows, …, columns)`.
        recipe: what was done to the feature in training, with the windows of these rows.
        fitted: what was learned in training.
        count: how many samples there are.
        trained: how these very rows were split then; None for other rows.
        forecasts: whether training learned to give shifted windows.

    Raises:
        PreprocessError: blanks that cannot be filled.

    >>> from aiqc_core.stages.preprocess import pipeline
    >>> rows = pd.DataFrame({"a": [0.0, np.nan, 2.0]})
    >>> fill = samples.FillStep(("a",), {"method": "linear"}, process_separately=True)
    >>> recipe = samples.FeatureRecipe(pipeline.FeaturePlan(("a",)), (fill,))
    >>> fitted = pipeline.FittedFeature(("a",), (), ("a",), ("a",))
    >>> prepare(rows, recipe, fitted, 3).batch(1, 3).ravel().tolist()
    [1.0, 2.0]
    """
    values = _fillable(values, recipe)
    if trained is None or not recipe.fills or not isinstance(values, pd.DataFrame):
        ready = samples.prepare_as(values, recipe, fitted, {NEW: np.arange(count)})
        return NewSamples(ready, count, forecasts)
    splits, rows = _as_then(count, recipe.windows, trained)
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
    _, rows = _as_then(len(frame), None, trained)
    filled = samples.fill_rows(frame, fills, rows)
    order = np.argsort(np.concatenate(list(rows.values())), kind="stable")
    return pd.concat(list(filled.values())).iloc[order].reset_index(drop=True)


def refuse_unknown_classes(frame: pd.DataFrame, fitted: FittedLabel) -> None:
    """Refuse a label with classes that training did not see.

    Some encoders would take such a class for another one, or for none, without a word.

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


def _as_then(
    count: int, windows: Windows | None, trained: Trained
) -> tuple[dict[str, NDArray[np.int64]], dict[str, NDArray[np.int64]]]:
    """Return samples and rows by split, with those that no split had as one more."""
    splits = {split: np.asarray(positions) for split, positions in trained.splits.items()}
    rest = np.setdiff1d(np.arange(count), np.concatenate(list(splits.values())))
    then = trained.windows
    rows = {s: p if then is None else then.rows(p) for s, p in splits.items()}
    if len(rest):
        splits[NEW] = rest
        rows[NEW] = rest if windows is None else windows.rows(rest)
    return splits, rows


def _fillable(values: Any, recipe: FeatureRecipe) -> Any:
    """Return values whose filled columns are floating, as only such are filled."""
    if not recipe.fills:
        return values
    if not isinstance(values, pd.DataFrame):
        return values if values.dtype.kind == "f" else values.astype(np.float64)
    whole = [
        name
        for fill in recipe.fills
        for name in fill.columns
        if not types.is_float_dtype(values[name].dtype)
    ]
    return values.astype(dict.fromkeys(whole, "float64")) if whole else values


def _at(values: Any, places: NDArray[np.int64]) -> Any:
    """Return rows by position; a view where they follow each other."""
    taken = values.iloc if isinstance(values, pd.DataFrame) else values
    if len(places) and (np.diff(places) == 1).all():
        return taken[int(places[0]) : int(places[-1]) + 1]
    return taken[places]
