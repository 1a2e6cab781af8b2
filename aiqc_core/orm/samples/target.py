"""What a model learns: the fitted Label, or without one the Feature itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aiqc_core.stages.preprocess.samples import Target

if TYPE_CHECKING:
    from aiqc_core.orm.samples.cache import Fitted
    from aiqc_core.orm.tables.splitset import Splitset
    from aiqc_core.stages.preprocess import pipeline


def target_of(splitset: Splitset, fitted: Fitted) -> pipeline.FittedLabel | Target:
    """Return what was fitted on the Label, with its positive class, or on what is its own."""
    if fitted.label is None or splitset.label is None:
        return own_target(splitset, fitted)
    return replace(fitted.label, positive=splitset.label.positive)


def own_target(splitset: Splitset, fitted: Fitted) -> Target:
    """Return what a Splitset without a Label learns: its Feature itself."""
    (feature,) = splitset.features
    recipe = feature.recipe()
    shape = (*feature.preprocessed_shape()[:-1], len(fitted.features[0].output_columns))
    return Target(fitted.features[0], shape, recipe.reshape_indices)
