"""Recompute metrics from the recorded predictions of a split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.analysis import AnalysisType
from aiqc_core.stages.evaluate import decode, units, weighted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiqc_core.stages.evaluate.weighted import Metrics
    from aiqc_core.stages.preprocess.pipeline import FittedLabel
    from aiqc_core.stages.preprocess.samples import Target
    from aiqc_core.stages.preprocess.values import Array, Floats, Ints


def metrics_of(
    analysis_type: str,
    label: FittedLabel | Target,
    truth: Array,
    predictions: Array,
    probabilities: Floats | None,
) -> Metrics:
    """Return the function of weights that scores a split from its record; see `weighted`.

    For a label with an encoder it also gives `<metric>_decoded`, in the label's own units. `truth`
    is encoded, `(samples, …)`, and `predictions` are in the label's own values.
    """
    if analysis_type == AnalysisType.REGRESSION:
        return _regression(label, np.asarray(truth, dtype=np.float64), predictions)
    classes = getattr(label, "classes", None) or ()
    return weighted.classification(
        decode.to_ordinal(np.asarray(truth)),
        from_classes(predictions, classes),
        probabilities,
        len(classes),
        binary=analysis_type == AnalysisType.BINARY,
        positive=getattr(label, "positive_code", 1),
    )


def from_classes(values: Array, classes: Sequence[Any]) -> Ints:
    """Return the ordinal of each prediction; undoes `decode.to_classes`."""
    ordinals = {value: code for code, value in enumerate(classes)}
    return np.array([ordinals[value] for value in values.tolist()], dtype=np.int64)


def _regression(label: FittedLabel | Target, truth: Floats, predictions: Array) -> Metrics:
    if not units.is_encoded(label):
        return weighted.regression(truth, predictions.astype(float).reshape(truth.shape))
    original = units.decoded(label, truth)
    predicted = predictions.reshape(original.shape)
    numbers = units.numeric(original, predicted)
    in_units = weighted.regression(*numbers) if numbers[0].size else None
    back = units.encoded(label, predicted)
    computed = np.full(truth.shape, np.nan) if back is None else back
    as_learned = weighted.regression(truth, computed.reshape(truth.shape))

    def score(weights: Floats) -> dict[str, Floats]:
        decoded = {} if in_units is None else in_units(weights)
        return as_learned(weights) | {f"{name}_decoded": v for name, v in decoded.items()}

    return score
