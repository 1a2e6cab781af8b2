"""Preprocess new data for a Predictor as its training data."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from aiqc_core.analysis import AnalysisType
from aiqc_core.orm.store import order
from aiqc_core.stages.evaluate import decode
from aiqc_core.stages.preprocess import new_rows, pipeline, samples, unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from aiqc_core.orm.samples.cache import Fitted
    from aiqc_core.orm.tables.feature import Feature
    from aiqc_core.orm.tables.label import Label
    from aiqc_core.orm.tables.predictor import Predictor
    from aiqc_core.stages.preprocess.window import Windows


@dataclass(frozen=True, slots=True)
class Offer:
    """New data in the place of a Feature or a Label, registered or not.

    Attributes:
        called: what messages call it.
        typ: `'tabular'`, `'sequence'` or `'image'`.
        shape: `{axis: length}`.
        dtypes: `{column: dtype}`.
        load: returns all rows of some columns.
        digest: returns the SHA-256 of the whole content.
        windows: over its rows, if any.
    """

    called: str
    typ: str
    shape: dict[str, int]
    dtypes: dict[str, str]
    load: Callable[[list[str]], Any]
    digest: Callable[[], str]
    windows: Windows | None = None

    @property
    def count(self) -> int:
        """How many samples it has: windows if it has any, else rows."""
        return self.shape["samples"] if self.windows is None else self.windows.count


def of_row(row: Feature | Label) -> Offer:
    """Return the data of a Feature or a Label."""
    dataset = row.dataset
    rules = [window.rule() for window in getattr(row, "windows", ())]
    return Offer(
        called=f"{type(row).__name__} {row.id}",
        typ=dataset.typ,
        shape=dataset.shape,
        dtypes=row.get_dtypes(),
        load=lambda columns: dataset.load(columns, None),
        digest=lambda: dataset.sha256_hexdigest,
        windows=rules[0] if rules else None,
    )


def batches(predictor: Predictor, features: Sequence[Offer]) -> new_rows.Batches:
    """Return the samples of matched data as the Predictor takes them."""
    known: Fitted = predictor.fitted_preprocessing
    trained = predictor.job.queue.splitset
    parts = [
        _new_samples(predictor, *each)
        for each in zip(features, trained.features, known.features, strict=True)
    ]
    for offer, part in zip(features, parts, strict=True):
        if part.passed_over is not None:
            warnings.warn(
                f"{offer.called}: values that training did not see; their encoder passes over "
                f"them, so that the model is not given what they are. {part.passed_over}. Train "
                "again on data that holds them, or leave these rows out.",
                stacklevel=2,
            )
    shapes = predictor.features_shapes
    listed = shapes if isinstance(shapes, list) else [shapes]
    return new_rows.Batches(parts, new_rows.size_of_batches(listed))


def truth(
    predictor: Predictor, prepared: new_rows.Batches, label: Offer | None
) -> NDArray[Any] | None:
    """Return the encoded truth of matched data; None where it is not known.

    Raises:
        PreprocessError: a class that training did not see, naming it.
    """
    queue = predictor.job.queue
    if label is None:
        is_own = queue.splitset.label is None and prepared.features[0].knows_target
        return prepared.target() if is_own else None
    old: Any = queue.splitset.label
    known: Any = predictor.fitted_preprocessing.label
    fills = old.fills()
    trained = _training_rows(predictor, label, old) if fills else None
    given = label.load(old.columns)
    if not any(feature.recipe().windows for feature in queue.splitset.features):
        _warn_of_order(predictor, label, fills, given)
    frame: pd.DataFrame = new_rows.filled_rows(given, fills, trained)
    is_class = queue.algorithm.analysis_type != AnalysisType.REGRESSION
    if is_class:
        new_rows.refuse_unknown_classes(frame, known)
    encoded = pipeline.apply_label(known, frame)
    if is_class:
        decode.refuse_other_codes(encoded, len(known.classes or ()))
    return encoded


def _new_samples(predictor: Predictor, new: Offer, old: Feature, fit: Any) -> new_rows.NewSamples:
    recipe = replace(old.recipe(), windows=new.windows)
    values = new.load(old.columns)
    _warn_of_order(predictor, new, recipe.fills, values)
    trained = predictor.job.queue.splitset
    is_filled = recipe.fills and new.typ == "tabular"
    prepared = new_rows.prepare(
        values,
        recipe,
        fit,
        new.count,
        _training_rows(predictor, new, old) if is_filled else None,
        forecasts=trained.label is None
        and any(row.record_shifted for row in trained.features[0].windows),
    )
    filled = {name for fill in recipe.fills for name in fill.columns}
    rows = samples.as_rows(values, old.columns)
    return replace(prepared, passed_over=unknown.found(fit.encoders, rows, filled))


def _warn_of_order(predictor: Predictor, new: Offer, fills: Any, values: Any) -> None:
    """Warn of windows over unordered rows, or of fills by an order that is only assumed."""
    if new.typ != "tabular":
        return
    if new.windows is not None:
        message = order.contradiction(order.contradicted(new.dtypes, new.load))
    elif predictor.job.queue.splitset.time_ordered:
        return
    else:
        message = order.sentence(order.assumed(values, fills, new.dtypes, new.load))
    if message is not None:
        warnings.warn(f"{new.called}: {message}", stacklevel=6)


def _training_rows(
    predictor: Predictor, new: Offer, old: Feature | Label
) -> new_rows.Trained | None:
    """Return how training split the rows, if this is the very data that trained."""
    windows = of_row(old).windows
    strides = [
        None if w is None else (w.size_window, w.size_shift) for w in (windows, new.windows)
    ]
    if strides[0] != strides[1] or new.digest() != old.dataset.sha256_hexdigest:
        return None
    job = predictor.job
    return new_rows.Trained((job.fold or job.queue.splitset).positions(), windows)
