"""What a trained model says of each split: predictions, probabilities and metrics."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.errors import TrainingError
from aiqc_core.stages.evaluate import curves, decode, metrics, units
from aiqc_core.stages.preprocess.samples import Target
from aiqc_core.stages.train import outputs as meaning
from aiqc_core.stages.train.backends.arrays import as_array
from aiqc_core.stages.train.spec import BINARY, REGRESSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from aiqc_core.stages.preprocess.pipeline import FittedLabel

HALF = 0.5


@dataclass(frozen=True, slots=True)
class SplitScores:
    """What a model says of one split.

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
    analysis_type: str,
    label: FittedLabel | Target,
    raw: tuple[Any, Any],
    encoded: NDArray[Any],
    loss: float,
) -> SplitScores:
    """Score one split.

    Args:
        analysis_type: what was learned.
        label: what was fitted on the label, or on the feature that is its own target; it
            decodes.
        raw: what `predict` gave: predictions, and probabilities or None.
        encoded: the split's label as the model saw it, `(samples, …)`.
        loss: of the algorithm's own loss on the split.

    Raises:
        TrainingError: predictions or probabilities that cannot be such.
    """
    scored = (
        _regression(label, raw, encoded)
        if analysis_type == REGRESSION or isinstance(label, Target)
        else _classification(label, raw, encoded, binary=analysis_type == BINARY)
    )
    notes = scored.notes if math.isfinite(loss) else scored.notes | {"loss": "the model diverged"}
    values = dict(sorted((scored.values | {"loss": loss}).items()))
    return SplitScores(scored.predictions, scored.probabilities, values, notes, scored.plot_data)


def unjudged(
    analysis_type: str,
    label: FittedLabel | Target,
    raw: tuple[Any, Any],
    label_shape: tuple[int, ...],
) -> SplitScores:
    """Return the predictions of samples whose label is not known, without metrics.

    Args:
        analysis_type: what was learned.
        label: see `score`.
        raw: see `score`.
        label_shape: of what the model gives for one sample.

    Raises:
        TrainingError: predictions or probabilities that cannot be such.
    """
    if analysis_type == REGRESSION or isinstance(label, Target):
        predicted = units.decoded(label, _shaped(raw[0], (len(raw[0]), *label_shape)))
        unknown = units.unknown(predicted)
        said = f"{unknown} of {predicted.size} values are not finite"
        return SplitScores(
            _shown(predicted), None, {}, {"predictions": said} if unknown else {}, None
        )
    classes = label.classes or ()
    predicted, probabilities = decode.checked_classes(
        *raw, len(classes), binary=analysis_type == BINARY
    )
    return SplitScores(decode.to_classes(predicted, classes), probabilities, {}, {}, None)


def predict(
    analysis_type: str,
    fn_predict: Callable[..., Any] | None,
    model: Any,
    batches: Iterable[Any],
    outputs: Callable[[], NDArray[Any]],
    *,
    kind: Callable[[NDArray[Any]], str | None],
) -> tuple[Any, Any]:
    """Return predictions, with probabilities for a classification.

    Args:
        analysis_type: what was learned.
        fn_predict: the user's; by default binary p > 0.5, multi argmax, regression the output.
        model: the trained model.
        batches: the split's features in batches, as `fn_predict` takes them.
        outputs: runs the model over the whole split.
        kind: returns what the outputs of a classifier mean; see `meaning.Meaning`.
    """
    if fn_predict is not None:
        given = [_asked(fn_predict, model, batch) for batch in batches]
        predictions = np.concatenate([p for p, _ in given])
        if analysis_type == REGRESSION:
            return predictions, None
        told = [probabilities for _, probabilities in given if probabilities is not None]
        if len(told) < len(given):
            raise TrainingError("fn_predict: return (predictions, probabilities) to classify.")
        return predictions, np.concatenate(told)
    output = outputs().astype(np.float64)
    if analysis_type == REGRESSION:
        return output, None
    output = output.reshape(len(output), -1)
    if analysis_type == BINARY:
        probabilities = meaning.of_one_class(output, kind(output))
        return (probabilities > HALF).astype(np.int64), probabilities
    return output.argmax(axis=1), meaning.distributions(output, kind(output))


def _asked(
    fn_predict: Callable[..., Any], model: Any, batch: Any
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    predictions, probabilities = _pair(fn_predict(model, batch))
    count = len(batch[0] if isinstance(batch, list) else batch)
    for name, part in (("predictions", predictions), ("probabilities", probabilities)):
        shape = as_array(part).shape
        if shape[:1] != (count,) and not (part is None and name == "probabilities"):
            raise TrainingError(
                f"fn_predict: {name} have shape {shape} for {count} samples; give one for each."
            )
    return as_array(predictions), None if probabilities is None else as_array(probabilities)


def _pair(returned: Any) -> tuple[Any, Any]:
    if isinstance(returned, tuple) and len(returned) == 2:  # noqa: PLR2004 - a pair
        return returned
    return returned, None


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
    return SplitScores(
        decode.to_classes(predicted, classes),
        probabilities,
        scores.values,
        scores.notes,
        curves.plot_data(truth, predicted, probabilities, len(classes), positive),
    )


def _regression(
    label: FittedLabel | Target, raw: tuple[Any, Any], encoded: NDArray[Any]
) -> SplitScores:
    truth = np.asarray(encoded, dtype=np.float64)
    predicted = _shaped(raw[0], truth.shape)
    scores = metrics.regression(truth, predicted)
    values, notes, decoded = dict(scores.values), dict(scores.notes), predicted
    if units.is_encoded(label):
        decoded, original = units.decoded(label, predicted), units.decoded(label, truth)
        original, said = units.numeric(original, decoded)
        if original.size:
            in_units = metrics.regression(original, said)
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
