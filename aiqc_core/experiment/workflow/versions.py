"""The version of the code behind each stage: a digest of what its declaration says.

It moves when the declaration's part does and not otherwise, so that a changed encoder makes stale
what it touches and a comment nothing.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiqc_core.experiment.workflow import inputs
from aiqc_core.orm import Declared, Queue
from aiqc_core.orm.tables.snapshot import digest_of_inputs
from aiqc_core.usercode.identity import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiqc_core.experiment import Experiment

TRAINED_FROM = ("feature", "label", "splitset", "predictor")
NOTED = "declaration"  # the stage under which a Queue's declaration is noted


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
    coders, fills, shape = inputs.of_feature(pipeline, "digest")
    return [pipeline.features, pipeline.label_columns, fills, coders, *shape]


def _label(experiment: Experiment) -> Any:
    coder, filled, positive = inputs.of_label(experiment.pipeline, "digest")
    return [experiment.pipeline.label_columns, filled, coder, *positive]


def _splitset(experiment: Experiment) -> Any:
    cut = inputs.of_splitset(experiment)
    return [{name: cut[name] for name in inputs.CUT}, experiment.seed]


def _predictor(experiment: Experiment) -> Any:
    training = experiment.training
    functions = inputs.of_functions(training, "digest")
    return [
        training.library, training.analysis_type, training.repeat_count, training.permute_count,
        experiment.seed, list(functions.values()), *inputs.of_outputs(training),
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
