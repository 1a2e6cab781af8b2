"""What a declaration gives each stage: the inputs of its row, and of its code version.

An encoder or a function counts by its identity: the `key` finds rows again, and the `digest` is in
code versions, see `usercode.identity`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from aiqc_core.stages.preprocess import encode
from aiqc_core.stages.train.functions.capture import SIGNATURES
from aiqc_core.usercode.identity import identity_of

if TYPE_CHECKING:
    from aiqc_core.experiment import Experiment, Pipeline, Training

CUT = {
    "size_test", "size_validation", "fold_count", "bin_count", "unsupervised_stratify_col",
    "groups", "time_ordered", "gap",
}  # fmt: skip
By = Literal["key", "digest"]


def of_feature(pipeline: Pipeline, by: By) -> tuple[list[Any], list[Any], list[Any]]:
    """Return the encoders, the interpolations, and window and shape of the features."""
    coders = [
        [_encoder(coder.encoder, by), coder.include, coder.dtypes, coder.columns]
        for coder in pipeline.feature_encoders
    ]
    window = None if pipeline.window is None else pipeline.window.model_dump()
    fills = [fill.model_dump() for fill in pipeline.interpolations]
    return coders, fills, [window, pipeline.reshape_indices]


def of_label(pipeline: Pipeline, by: By) -> tuple[Any, Any, list[Any]]:
    """Return encoder, interpolation and positive class of the label; nothing for no class."""
    fill = pipeline.label_interpolation
    positive = [] if pipeline.positive is None else ["positive", pipeline.positive]
    filled = None if fill is None else fill.model_dump()
    return _encoder(pipeline.label_encoder, by), filled, positive


def of_splitset(experiment: Experiment) -> dict[str, Any]:
    """Return the arguments of `Splitset.make`."""
    return experiment.pipeline.model_dump(include=CUT) | {"seed": experiment.seed}


def of_functions(training: Training, by: By) -> dict[str, Any]:
    """Return the identity of each function by its role; None for one that is not declared."""
    functions = {role: getattr(training, role) for role in SIGNATURES}
    return {
        role: None if fn is None else getattr(identity_of(fn), by)
        for role, fn in functions.items()
    }


def of_outputs(training: Training) -> list[str]:
    """Return what a model's outputs are declared to be; nothing where they are not."""
    return [] if training.outputs is None else [training.outputs]


def _encoder(encoder: object, by: By) -> str | None:
    return None if encoder is None else getattr(identity_of(encode.checked(encoder)), by)
