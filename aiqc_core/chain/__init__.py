"""Walking a declared experiment through the metastore, one stage a function.

Each function makes the rows of its stage for a snapshot, or finds those that unchanged inputs made
before, and returns the row. A notebook calls `run`; Dagster's assets call the stages.
"""

from __future__ import annotations

from aiqc_core.chain.data import dataset, feature, label, label_dataset, samples, splitset
from aiqc_core.chain.due import Due, due, newest_snapshot, source_digest
from aiqc_core.chain.stage import today
from aiqc_core.chain.training import hyperparamset, jobs, prepare, queue, renew, run

__all__ = [
    "Due",
    "dataset",
    "due",
    "feature",
    "hyperparamset",
    "jobs",
    "label",
    "label_dataset",
    "newest_snapshot",
    "prepare",
    "queue",
    "renew",
    "run",
    "samples",
    "source_digest",
    "splitset",
    "today",
]
