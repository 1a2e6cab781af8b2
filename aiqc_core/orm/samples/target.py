"""Return what a model learns: the fitted Label, or without one the Feature itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aiqc_core.stages.preprocess.samples import Target

if TYPE_CHECKING:
    from aiqc_core.orm.samples.cache import Fitted
    from aiqc_core.orm.tables.splitset import Splitset
    from aiqc_core.stages.preprocess import pipeline


def target_of(splitset: Splitset, fitted: Fitted) -> pipeline.FittedLabel | Target:
    """Return the fit of the Label with its positive class, or that of the only Feature."""
    if fitted.label is not None and splitset.label is not None:
        return replace(fitted.label, positive=splitset.label.positive)
    (feature,) = splitset.features
    shape = (*feature.preprocessed_shape()[:-1], len(fitted.features[0].output_columns))
    return Target(fitted.features[0], shape, feature.recipe().reshape_indices)
