"""Round the numbers that a model gives to the nearest codes of an encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.stages.preprocess.encoders import is_a

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiqc_core.stages.preprocess.encode import FittedEncoder
    from aiqc_core.stages.preprocess.values import Array


def nearest_codes(steps: Sequence[FittedEncoder], values: Array) -> Array:
    """Return a copy of encoded rows with each ordinal code set to the nearest known one.

    A model may give 1.9 for 2, or 3.1 where 2 is the last code. The inverses of scikit-learn cut
    the first to 1 and raise for the second. Columns beyond those of `steps` stay as they are.
    """
    snapped = np.array(values)
    start = 0
    for step in steps:
        for encoder, width in zip(step.encoders, step.widths, strict=True):
            counts = _code_counts(encoder)
            if counts is not None:
                block = snapped[:, start : start + width]
                np.clip(np.rint(block), 0, np.asarray(counts) - 1, out=block)
            start += width
    return snapped


def _code_counts(encoder: Any) -> Sequence[int] | None:
    """Return how many codes each output column has; None where they are no ordinal codes."""
    fitted: Any = encoder  # so that pyright does not ask whether it is fitted
    if is_a(encoder, "OrdinalEncoder"):
        return [len(categories) for categories in fitted.categories_]
    if is_a(encoder, "LabelEncoder"):
        return [len(fitted.classes_)]
    if is_a(encoder, "KBinsDiscretizer") and fitted.encode == "ordinal":
        return fitted.n_bins_.tolist()
    return None
