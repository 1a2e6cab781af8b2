"""A code location whose experiment reads a file that the soak rewrites, every minute."""

from __future__ import annotations

import os
from pathlib import Path

from aiqc_dagster.build import experiment
from aiqc_dagster.defs.breast_cancer.experiment import EXPERIMENT as DEMO

EXPERIMENT = DEMO.model_copy(
    update={
        "name": "soak",
        "source": Path(os.environ["SOAK_FILE"]),
        "schedule": "* * * * *",
        "training": DEMO.training.model_copy(
            update={"hyperparameters": {"neurons": [8], "learning_rate": [0.01], "epochs": [2]}}
        ),
    }
)
defs = experiment.build([EXPERIMENT])
