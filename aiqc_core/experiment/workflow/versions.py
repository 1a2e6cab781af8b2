"""The version of the code behind each stage: a digest of what its declaration says.

It moves when the declaration's part does and not otherwise, so that a changed encoder makes stale
what it touches and a comment nothing.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiqc_core.experiment.workflow.data import encoder_digest, positive_inputs
from aiqc_core.orm import Declared, Queue
from aiqc_core.orm.tables.snapshot import digest_of_inputs
from aiqc_core.stages.train.functions.capture import SIGNATURES
from aiqc_core.usercode.identity import fingerprint

if TYPE_CHECKING:
    from aiqc_core.experiment import Experiment

CUT = {
    "size_test", "size_validation", "fold_count", "bin_count", "unsupervised_stratify_col",
    "groups", "time_ordered", "gap",
}  # fmt: skip

TRAINED_FROM = ("feature", "label", "splitset", "predictor")
NOTED = "declaration"  # the stage under which a Queue's declaration is noted


def code_version(experiment: Experiment, stage: str) -> str:
    """Return 12 hex digits that follow from what a stage's declaration says.

    Args:
        experiment: the declaration.
        stage: the name of an asset, such as `'feature'`.
    """
    part = STAGES[stage](experiment) if stage in STAGES else None
    return digest_of_inputs(part)[:12]


def note_declaration(experiment: Experiment, queue: Queue) -> None:
    """Note which declaration led to a Queue."""
    inputs = [queue.id, declared(experiment)]
    Declared.find_or_make(Queue, experiment.name, NOTED, inputs, lambda: queue)


def is_changed(experiment: Experiment, queue: Queue) -> bool:
    """Say whether another declaration led to a Queue; of one without a note, it did not."""
    noted = Declared.digests(experiment.name, NOTED, queue)
    return bool(noted) and digest_of_inputs([queue.id, declared(experiment)]) not in noted


def declared(experiment: Experiment) -> str:
    """Return a digest of all in a declaration that what is trained follows from."""
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
    return [
        pipeline.features,
        pipeline.label_columns,
        [fill.model_dump() for fill in pipeline.interpolations],
        [
            [encoder_digest(c.encoder), c.include, c.dtypes, c.columns]
            for c in pipeline.feature_encoders
        ],
        None if pipeline.window is None else pipeline.window.model_dump(),
        pipeline.reshape_indices,
    ]


def _label(experiment: Experiment) -> Any:
    pipeline = experiment.pipeline
    fill = pipeline.label_interpolation
    filled = None if fill is None else fill.model_dump()
    coder = encoder_digest(pipeline.label_encoder)
    return [pipeline.label_columns, filled, coder, *positive_inputs(pipeline)]


def _splitset(experiment: Experiment) -> Any:
    return [experiment.pipeline.model_dump(include=CUT), experiment.seed]


def _predictor(experiment: Experiment) -> Any:
    training = experiment.training
    functions = [getattr(training, role) for role in SIGNATURES]
    return [
        training.library, training.analysis_type, training.repeat_count, training.permute_count,
        experiment.seed, [None if fn is None else fingerprint(fn) for fn in functions],
        *([] if training.outputs is None else [training.outputs]),
    ]  # fmt: skip


def _leaderboard(experiment: Experiment) -> Any:
    return experiment.leading_metric


def _champion(experiment: Experiment) -> Any:
    return [experiment.leading_metric, experiment.promotion.model_dump()]


STAGES = {
    "dataset": _dataset,
    "feature": _feature,
    "label": _label,
    "splitset": _splitset,
    "predictor": _predictor,
    "leaderboard": _leaderboard,
    "champion": _champion,
}
