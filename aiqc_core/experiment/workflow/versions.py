"""The rows of stages: the inputs that find them again, and the version of their code.

A version moves when the declaration's part does and not otherwise, so that a changed encoder makes
stale what it touches and a comment nothing. An encoder or a function counts by its identity: the
`key` finds rows again, and the `digest` is in code versions, see `usercode.identity`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from aiqc_core.orm import Declared, Queue, Snapshot
from aiqc_core.orm.tables.snapshot import digest_of_inputs
from aiqc_core.stages.preprocess import encode
from aiqc_core.stages.split.cut import OPTIONS
from aiqc_core.usercode.identity import fingerprint, identity_of
from aiqc_core.wording import reworded

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiqc_core.experiment import Experiment, Pipeline, Training

TRAINED_FROM = ("feature", "label", "splitset", "predictor")
NOTED = "declaration"  # the stage under which a Queue's declaration is noted
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
    return experiment.pipeline.model_dump(include=set(OPTIONS)) | {"seed": experiment.seed}


def of_functions(training: Training, by: By) -> dict[str, Any]:
    """Return the identity of each function by its role; None for one that is not declared."""
    return {
        role: None if fn is None else getattr(identity_of(fn), by)
        for role, fn in training.functions.items()
    }


def of_outputs(training: Training) -> list[str]:
    """Return what a model's outputs are declared to be; nothing where they are not."""
    return [] if training.outputs is None else [training.outputs]


def _encoder(encoder: object, by: By) -> str | None:
    return None if encoder is None else getattr(identity_of(encode.checked(encoder)), by)


def find_or_make(
    experiment: Experiment, snapshot: str, table: type[Any], stage: str, inputs: Any, make: Any
) -> Any:
    """Return the row of a stage of a snapshot: found by its inputs' digest, or made."""
    with reworded():
        row = Declared.find_or_make(table, experiment.name, stage, inputs, make)
    Snapshot.put(experiment.name, snapshot, stage, row)
    return row


def row_of(experiment: Experiment, snapshot: str, table: type[Any], stage: str) -> Any:
    """Return the row of an earlier stage; raise NotFoundError where it was not made yet."""
    return Snapshot.of(experiment.name, snapshot).get_row(table, stage)


def code_version(experiment: Experiment, stage: str) -> str:
    """Return 12 hex digits that follow from what the declaration says of an asset's stage."""
    part = STAGES[stage](experiment) if stage in STAGES else None
    return digest_of_inputs(part)[:12]


def note_declaration(experiment: Experiment, queue: Queue) -> None:
    """Note which declaration led to a Queue."""
    parts = [queue.id, declared(experiment)]
    Declared.find_or_make(Queue, experiment.name, NOTED, parts, lambda: queue)


def is_changed(experiment: Experiment, queue: Queue) -> bool:
    """Say whether another declaration led to a Queue; of one without a note, it did not."""
    noted = Declared.digests(experiment.name, NOTED, queue)
    return bool(noted) and digest_of_inputs([queue.id, declared(experiment)]) not in noted


def declared(experiment: Experiment) -> str:
    """Return a digest of all in a declaration that trained models follow from."""
    training = experiment.training
    parts = [
        *(code_version(experiment, stage) for stage in TRAINED_FROM),
        training.hyperparameters, training.search, experiment.job_keys(),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()


def _dataset(experiment: Experiment) -> Any:
    source: Any = experiment.source
    return str(source) if isinstance(source, Path) else fingerprint(source)


def _feature(experiment: Experiment) -> Any:
    pipeline = experiment.pipeline
    coders, fills, shape = of_feature(pipeline, "digest")
    return [pipeline.features, pipeline.label_columns, fills, coders, *shape]


def _label(experiment: Experiment) -> Any:
    coder, filled, positive = of_label(experiment.pipeline, "digest")
    return [experiment.pipeline.label_columns, filled, coder, *positive]


def _splitset(experiment: Experiment) -> Any:
    cut = of_splitset(experiment)
    seed = cut.pop("seed")
    return [cut, seed]


def _predictor(experiment: Experiment) -> Any:
    training = experiment.training
    return [
        training.library, training.analysis_type, training.repeat_count, training.permute_count,
        experiment.seed, list(of_functions(training, "digest").values()), *of_outputs(training),
    ]  # fmt: skip


STAGES: dict[str, Callable[[Experiment], Any]] = {
    "dataset": _dataset,
    "feature": _feature,
    "label": _label,
    "splitset": _splitset,
    "predictor": _predictor,
    "leaderboard": lambda experiment: experiment.leading_metric,
    "champion": lambda experiment: [experiment.leading_metric, experiment.promotion.model_dump()],
}
