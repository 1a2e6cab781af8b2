"""Walk a declared experiment through the metastore, one function a stage.

Each function makes the rows of its stage for a snapshot, or finds those of unchanged inputs, and
returns the row. A notebook calls `run`; Dagster's assets call the stages.
"""

from __future__ import annotations

from aiqc_core.experiment.workflow.batch import batch_drift, of_batch, predict, write_table
from aiqc_core.experiment.workflow.champion import (
    Challenge,
    candidate,
    challenge,
    champion,
    crown,
    promote,
)
from aiqc_core.experiment.workflow.data import (
    dataset,
    feature,
    label,
    label_dataset,
    samples,
    splitset,
)
from aiqc_core.experiment.workflow.due import Due, due, present_snapshot, source_digest
from aiqc_core.experiment.workflow.keys import content_of, free_key
from aiqc_core.experiment.workflow.training import (
    hyperparamset,
    job,
    jobs,
    prepare,
    queue,
    queue_of,
    renew,
    run,
)
from aiqc_core.experiment.workflow.versions import code_version, row_of
from aiqc_core.experiment.workflow.watch import champion_sound, drift, fresh, jobs_present
from aiqc_core.stages.evaluate.checks import FAILED, PASSED, WARNING, Finding

__all__ = [
    "FAILED", "PASSED", "WARNING", "Challenge", "Due", "Finding", "batch_drift", "candidate",
    "challenge", "champion", "champion_sound", "code_version", "content_of", "crown",
    "dataset", "drift", "due", "feature", "free_key", "fresh", "hyperparamset", "job", "jobs",
    "jobs_present", "label", "label_dataset", "of_batch", "predict",
    "prepare", "present_snapshot", "promote", "queue", "queue_of", "renew", "row_of", "run",
    "samples", "source_digest", "splitset", "write_table",
]  # fmt: skip
