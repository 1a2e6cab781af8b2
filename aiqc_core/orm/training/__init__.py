"""A Queue at work: plan its Jobs, claim them, train, record."""

from __future__ import annotations

from aiqc_core.orm.training.job_queries import jobs_of, jobs_with_indices
from aiqc_core.orm.training.measure import Measure
from aiqc_core.orm.training.run import train_one

__all__ = ["Measure", "jobs_of", "jobs_with_indices", "train_one"]
