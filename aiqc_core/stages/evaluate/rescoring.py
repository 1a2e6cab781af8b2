"""What is recorded of a split, in the form in which metrics take it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.stages.evaluate import decode, units, weighted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from aiqc_core.stages.evaluate.weighted import Metrics
    from aiqc_core.stages.preprocess.pipeline import FittedLabel
    from aiqc_core.stages.preprocess.samples import Target


def metrics_of(
    analysis_type: str,
    label: FittedLabel | Target,
    truth: NDArray[Any],
    predictions: NDArray[Any],
    probabilities: NDArray[np.float64] | None,
) -> Metrics:
    """Return the function of weights that scores a split from what is recorded of it.

    Args:
        analysis_type: what was learned.
        label: what was fitted on the label, or on the feature that is its own target.
        truth: the split's label as the model saw it, `(samples, …)`.
        predictions: in the label's own values, as they are recorded.
        probabilities: as they are recorded; None for a regression.

    Returns:
        See `weighted`; of a label with an encoder also `<metric>_decoded`, in its own units.
    """
    if analysis_type == "regression":
        return _regression(label, np.asarray(truth, dtype=np.float64), predictions)
    classes = getattr(label, "classes", None) or ()
    return weighted.classification(
        decode.to_ordinal(np.asarray(truth)),
        from_classes(predictions, classes),
        probabilities,
        len(classes),
        binary=analysis_type == "classification_binary",
        positive=getattr(label, "positive_code", 1),
    )


def from_classes(values: NDArray[Any], classes: Sequence[Any]) -> NDArray[np.int64]:
    """Return the ordinal of each prediction; undoes `decode.to_classes`.

    >>> from_classes(np.array(["up", "down"]), ["down", "up"]).tolist()
    [1, 0]
    """
    ordinals = {value: code for code, value in enumerate(classes)}
    return np.array([ordinals[value] for value in values.tolist()], dtype=np.int64)


def _regression(
    label: FittedLabel | Target, truth: NDArray[np.float64], predictions: NDArray[Any]
) -> Metrics:
    if not units.is_encoded(label):
        return weighted.regression(truth, predictions.astype(float).reshape(truth.shape))
    original = units.decoded(label, truth)
    predicted = predictions.reshape(original.shape)
    numbers = units.numeric(original, predicted)
    in_units = weighted.regression(*numbers) if numbers[0].size else _no_metrics
    back = units.encoded(label, predicted)
    computed = np.full(truth.shape, np.nan) if back is None else back
    as_learned = weighted.regression(truth, computed.reshape(truth.shape))

    def score(weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        decoded = {f"{name}_decoded": values for name, values in in_units(weights).items()}
        return as_learned(weights) | decoded

    return score


def _no_metrics(weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Score what has no column of numbers."""
    del weights
    return {}
