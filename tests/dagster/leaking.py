"""A code location whose windows are cut at random, so that train shares rows with test."""

from __future__ import annotations

from aiqc_dagster import definitions
from aiqc_dagster.defs.co2 import experiment as demo

pipeline = demo.EXPERIMENT.pipeline.model_copy(update={"time_ordered": False, "gap": 0})
training = demo.EXPERIMENT.training.model_copy(
    update={"hyperparameters": {"neurons": [2], "epochs": [1]}, "permute_count": 0}
)
changes = {"name": "leaking", "pipeline": pipeline, "training": training}
defs = definitions.build([demo.EXPERIMENT.model_copy(update=changes)])
