"""Walking a declared experiment through the metastore, one stage a function.

Each function makes the rows of its stage for a snapshot, or finds those that unchanged inputs made
before, and returns the row. A notebook calls `run`; Dagster's assets call the stages.
"""

from __future__ import annotations

from aiqc_core.chain.data import dataset, feature, label, label_dataset, samples, splitset
from aiqc_core.chain.stage import today
from aiqc_core.chain.training import hyperparamset, job, prepare, queue, run

__all__ = [
    "dataset",
    "feature",
    "hyperparamset",
    "job",
    "label",
    "label_dataset",
    "prepare",
    "queue",
    "run",
    "samples",
    "splitset",
    "today",
]
