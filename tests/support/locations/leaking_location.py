"""A code location whose windows are cut at random, so that train shares rows with test."""

from __future__ import annotations

from aiqc_dagster import definitions
from aiqc_dagster.build import experiment

demo = definitions.experiment("co2")
pipeline = demo.pipeline.model_copy(update={"time_ordered": False, "gap": 0})
training = demo.training.model_copy(
    update={"hyperparameters": {"neurons": [2], "epochs": [1]}, "permute_count": 0}
)
changes = {"name": "leaking", "pipeline": pipeline, "training": training}
defs = experiment.build([demo.model_copy(update=changes)])
