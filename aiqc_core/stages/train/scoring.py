"""Predictions, probabilities and metrics of a trained model on one split."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.analysis import AnalysisType
from aiqc_core.errors import TrainingError
from aiqc_core.stages.evaluate import curves, decode, metrics
from aiqc_core.stages.preprocess.samples import Target
from aiqc_core.stages.train import outputs as meaning
from aiqc_core.stages.train.backends.arrays import as_array

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from aiqc_core.stages.preprocess.pipeline import FittedLabel

HALF = 0.5


@dataclass(frozen=True, slots=True)
class SplitScores:
    """The predictions of one split, and how they score.

    Attributes:
        predictions: in the label's own values.
        probabilities: binary `(samples,)`, multi `(samples, classes)`; None for a regression.
        values: `{metric: value}`.
        notes: `{metric: reason}`.
        plot_data: for the figures; None for a regression.
    """

    predictions: NDArray[Any]
    probabilities: NDArray[np.float64] | None
    values: dict[str, float]
    notes: dict[str, str]
    plot_data: dict[str, Any] | None


def score(
    analysis_type: str, label: FittedLabel | Target, raw: tuple[Any, Any], encoded: NDArray[Any],
    loss: float,
) -> SplitScores:  # fmt: skip
    """Score one split.

    Args:
        analysis_type: what was learned.
        label: what was fitted on the label, or on the feature that is its own target.
        raw: predictions, and probabilities or None, as `predict` gives them.
        encoded: the split's label as the model saw it, `(samples, …)`.
        loss: of the algorithm's own loss on the split.

    Raises:
        TrainingError: predictions or probabilities that cannot be such.
    """
    if analysis_type == AnalysisType.REGRESSION or isinstance(label, Target):
        scored = _regression(label, raw, encoded)
    else:
        is_binary = analysis_type == AnalysisType.BINARY
        scored = _classification(label, raw, encoded, binary=is_binary)
    notes = scored.notes if math.isfinite(loss) else scored.notes | {"loss": "the model diverged"}
    values = dict(sorted((scored.values | {"loss": loss}).items()))
    return replace(scored, values=values, notes=notes)


def unscored(
    analysis_type: str, label: FittedLabel | Target, raw: tuple[Any, Any],
    label_shape: tuple[int, ...],
) -> SplitScores:  # fmt: skip
    """Return the predictions of unlabelled samples; arguments and errors as `score`."""
    if analysis_type == AnalysisType.REGRESSION or isinstance(label, Target):
        predicted = decode.to_units(label, _shaped(raw[0], (len(raw[0]), *label_shape)))
        notes: dict[str, str] = {}
        if unknown := decode.count_not_finite(predicted):
            notes["predictions"] = f"{unknown} of {predicted.size} values are not finite"
        return SplitScores(_shown(predicted), None, {}, notes, None)
    classes = label.classes or ()
    predicted, probabilities = decode.checked_classes(
        *raw, len(classes), binary=analysis_type == AnalysisType.BINARY
    )
    return SplitScores(decode.to_classes(predicted, classes), probabilities, {}, {}, None)


def predict(
    analysis_type: str, fn_predict: Callable[..., Any] | None, model: Any, batches: Iterable[Any],
    outputs: Callable[[], NDArray[Any]], *, kind: Callable[[NDArray[Any]], str | None],
) -> tuple[Any, Any]:  # fmt: skip
    """Return predictions, with probabilities for a classification.

    By default a prediction is binary p > 0.5, multi argmax, and for a regression the output.
    `batches` hold the split's features as `fn_predict` takes them, `outputs` runs the model over
    the whole split, and `kind` returns what the outputs mean; see `outputs.Meaning`.
    """
    if fn_predict is not None:
        pairs = [_predicted(fn_predict, model, batch) for batch in batches]
        predictions = np.concatenate([p for p, _ in pairs])
        if analysis_type == AnalysisType.REGRESSION:
            return predictions, None
        probabilities = [p for _, p in pairs if p is not None]
        if len(probabilities) < len(pairs):
            raise TrainingError("fn_predict: return (predictions, probabilities) to classify.")
        return predictions, np.concatenate(probabilities)
    output = outputs().astype(np.float64)
    if analysis_type == AnalysisType.REGRESSION:
        return output, None
    output = output.reshape(len(output), -1)
    if analysis_type == AnalysisType.BINARY:
        probabilities = meaning.of_one_class(output, kind(output))
        return (probabilities > HALF).astype(np.int64), probabilities
    return output.argmax(axis=1), meaning.distributions(output, kind(output))


def _predicted(
    fn_predict: Callable[..., Any], model: Any, batch: Any
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    returned = fn_predict(model, batch)
    is_pair = isinstance(returned, tuple) and len(returned) == 2  # noqa: PLR2004
    predictions, probabilities = returned if is_pair else (returned, None)
    count = len(batch[0] if isinstance(batch, list) else batch)
    for name, part in (("predictions", predictions), ("probabilities", probabilities)):
        shape = as_array(part).shape
        if shape[:1] != (count,) and not (part is None and name == "probabilities"):
            raise TrainingError(
                f"fn_predict: {name} have shape {shape} for {count} samples; give one for each."
            )
    return as_array(predictions), None if probabilities is None else as_array(probabilities)


def _classification(
    label: FittedLabel, raw: tuple[Any, Any], encoded: NDArray[Any], *, binary: bool
) -> SplitScores:
    classes = label.classes or ()
    predicted, probabilities = decode.checked_classes(*raw, len(classes), binary=binary)
    truth = decode.to_ordinal(np.asarray(encoded))
    positive = label.positive_code if binary else 1
    scores = metrics.classification(
        truth, predicted, probabilities, len(classes), binary=binary, positive=positive,
        names=classes,
    )  # fmt: skip
    plot_data = curves.plot_data(truth, predicted, probabilities, len(classes), positive)
    named = decode.to_classes(predicted, classes)
    return SplitScores(named, probabilities, scores.values, scores.notes, plot_data)


def _regression(
    label: FittedLabel | Target, raw: tuple[Any, Any], encoded: NDArray[Any]
) -> SplitScores:
    truth = np.asarray(encoded, dtype=np.float64)
    predicted = _shaped(raw[0], truth.shape)
    scores = metrics.regression(truth, predicted)
    values, notes, decoded = dict(scores.values), dict(scores.notes), predicted
    if decode.is_encoded(label):
        decoded, original = decode.to_units(label, predicted), decode.to_units(label, truth)
        original, numbers = decode.numeric(original, decoded)
        if original.size:
            in_units = metrics.regression(original, numbers)
            values |= {f"{name}_decoded": value for name, value in in_units.values.items()}
            notes |= {f"{name}_decoded": reason for name, reason in in_units.notes.items()}
    return SplitScores(_shown(decoded), None, values, notes, None)


def _shaped(given: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return predictions in the shape of their label; axes of length 1 may differ."""
    predicted = np.asarray(given, dtype=np.float64)
    if predicted.size != math.prod(shape) or len(predicted) != shape[0]:
        raise TrainingError(
            f"fn_predict: predictions have shape {predicted.shape}, the label {shape}."
        )
    return predicted.reshape(shape)


def _shown(decoded: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return predictions of one column as `(samples,)`."""
    return decoded.ravel() if decoded.shape[1:] == (1,) else decoded
