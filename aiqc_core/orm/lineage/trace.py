"""Trace one predicted sample back to everything that it follows from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.errors import IngestError, MetastoreError, SelectionError
from aiqc_core.orm.lineage import facts, preprocessing_facts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aiqc_core.orm.lineage.facts import Code, Model, Source
    from aiqc_core.orm.tables.prediction import Prediction
    from aiqc_core.orm.tables.splitset import Splitset


@dataclass(frozen=True, slots=True)
class Rows:
    """Which rows of a Dataset a sample is made of, both ends included.

    Attributes:
        target_first: that of the first row to forecast, if any, as `target_last` of the last.
    """

    used_as: str  # `'feature 0'`… or `'label'`
    dataset: int
    first: int  # the position of the first row; for sequences and images, of the sample
    last: int  # that of the last row; without a Window the same
    target_first: int | None = None
    target_last: int | None = None


@dataclass(frozen=True, slots=True)
class Training:
    """What the Predictor was trained on."""

    split: str
    count: int  # how many samples
    positions: list[int]  # their positions in the Splitset, in the order of the split
    rows: int  # how many rows of the first Feature's Dataset they are made of


@dataclass(frozen=True, slots=True)
class Trace:
    """One predicted sample and its ancestors.

    Attributes:
        learned: `{part: [what the coder learned from the training rows, …]}`.
    """

    prediction: int
    split: str
    index: int  # its place in the split, as in `prediction.predictions[split]`
    count: int  # how many samples that split has
    sample: int  # its position among the samples of the Splitset
    trained_on: bool | None  # whether it is a training sample; None for new data (`infer`)
    predicted: Any  # the prediction in the label's own values
    truth: Any  # None where it is not known or can no longer be read
    probabilities: dict[str, float] | None  # `{class: probability}`; None for a regression
    positive: Any  # the class of a binary analysis that precision, recall and f1 are of
    rows: list[Rows]
    training: Training
    model: Model
    sources: list[Source]
    interpolaters: dict[str, list[dict[str, Any]]]  # `{part: [interpolater, …]}`
    coders: dict[str, list[dict[str, Any]]]  # `{part: [coder, …]}` as they were declared
    learned: dict[str, list[dict[str, Any]]]
    windows: dict[str, Any]  # `{part: window}`
    shapes: dict[str, str]  # `{part: reshape indices}`
    code: list[Code]  # the Algorithm's functions


def trace(
    prediction: Prediction, row: int, split: str | None = None, check_source: bool = True
) -> Trace:
    """Return one predicted sample with everything that it follows from.

    Args:
        row: the sample's position in the Splitset, without a Window also its row of the Dataset;
            with `split` its place in that split, as in `predictions[split]`.
        split: the split that `row` counts in; None finds the split of the sample.
        check_source: read the files that the Datasets came from, to see if they still match.



    Raises:
        SelectionError: no such split or sample, or the sample is in a gap.
    """
    predictor = prediction.predictor
    job = predictor.job
    trained: Splitset = job.queue.splitset
    predicted_of: Splitset = prediction.splitset or trained
    trained_by = (job.fold or trained).positions()
    positions = predicted_of.positions() if prediction.splitset else trained_by
    name, index = _found(prediction, positions, row, split)
    sample = int(positions[name][index])
    key = trained.key_train or ""
    windows = trained.features[0].recipe().windows
    members = trained_by[key]
    return Trace(
        prediction=prediction.id,
        split=name,
        index=index,
        count=len(positions[name]),
        sample=sample,
        trained_on=None if prediction.splitset else name == key,
        predicted=_plain(prediction.predictions[name][index]),
        truth=_truth(predicted_of, sample),
        probabilities=_probabilities(prediction, name, index),
        positive=predictor.positive_class,
        rows=rows_of(predicted_of, sample),
        training=Training(
            split=key,
            count=len(members),
            positions=members.tolist(),
            rows=len(members if windows is None else windows.rows(members)),
        ),
        model=facts.model_of(predictor),
        sources=facts.sources_of(trained, look=check_source),
        interpolaters=preprocessing_facts.interpolaters_of(trained),
        coders=preprocessing_facts.coders_of(trained),
        learned=preprocessing_facts.learned_by(predictor.fitted_preprocessing),
        windows=preprocessing_facts.windows_of(trained),
        shapes=preprocessing_facts.shapes_of(trained),
        code=facts.codes_of(job.queue.algorithm),
    )


def rows_of(splitset: Splitset, sample: int) -> list[Rows]:
    """Return the rows under one sample of a Splitset, of each Feature and the Label."""
    found: list[Rows] = []
    for i, feature in enumerate(splitset.features):
        windows = feature.recipe().windows
        first = sample if windows is None else windows.start(sample)
        last = sample if windows is None else first + windows.size_window - 1
        target: tuple[int | None, int | None] = None, None
        if windows is not None and windows.record_shifted and splitset.label is None:
            target = first + windows.size_shift, last + windows.size_shift
        found.append(Rows(f"feature {i}", feature.dataset_id, first, last, *target))
    if splitset.label is not None:
        found.append(Rows("label", splitset.label.dataset_id, sample, sample))
    return found


def checked_row(called: str, row: Any, count: int, unit: str) -> int:
    """Return a position as an int, or refuse one out of range."""
    whole = isinstance(row, int | np.integer) and not isinstance(row, bool)
    if not whole or not 0 <= row < count:
        raise SelectionError(f"row: {row!r}; {called} has {count} {unit}; give 0 to {count - 1}.")
    return int(row)


def _found(
    prediction: Prediction, positions: dict[str, NDArray[np.int64]], row: int, split: str | None
) -> tuple[str, int]:
    """Return split and place of a sample from its place in a split, or from its position."""
    called = f"Prediction {prediction.id}"
    if split is not None:
        if split not in positions:
            raise SelectionError(f"split: {split!r}; {called} is of the splits {list(positions)}.")
        return split, checked_row(f"{split!r} of {called}", row, len(positions[split]), "samples")
    splitset = prediction.splitset or prediction.predictor.job.queue.splitset
    sample = checked_row(called, row, splitset.features[0].sample_count(), "samples")
    for name, members in positions.items():
        places = np.flatnonzero(members == sample)
        if len(places):
            return name, int(places[0])
    raise SelectionError(
        f"row: sample {sample} is in no split of Splitset {splitset.id} (it is in a gap of "
        f"{splitset.gap}), so {called} says nothing of it. Give a row of {list(positions)}."
    )


def _truth(splitset: Splitset, sample: int) -> Any:
    """Return the truth of a sample in its own units; None where it cannot be read."""
    try:
        if splitset.label is None:
            (feature,), (rows,) = splitset.features, rows_of(splitset, sample)
            first = rows.first if rows.target_first is None else rows.target_first
            last = rows.last if rows.target_last is None else rows.target_last
            values = np.asarray(feature.to_arr(samples=list(range(first, last + 1))))
            return _plain(values if feature.recipe().windows is not None else values[0])
        values = splitset.label.to_arr(samples=[sample])[0].tolist()
    except (IngestError, MetastoreError, OSError):  # the trace says what the source is now
        return None
    if len(values) > 1:
        return splitset.label.columns[int(np.argmax(np.asarray(values, dtype=float)))]
    return _plain(values[0])


def _probabilities(prediction: Prediction, split: str, index: int) -> dict[str, float] | None:
    stored = prediction.probabilities
    if stored is None:
        return None
    shares = np.atleast_1d(stored[split][index]).astype(float).tolist()
    shares = [1 - shares[0], *shares] if len(shares) == 1 else shares
    return dict(zip(map(str, prediction.predictor.classes or ()), shares, strict=True))


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
