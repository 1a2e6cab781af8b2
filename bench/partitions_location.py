"""An experiment of 10,000 Jobs as a Dagster code location."""

from __future__ import annotations

import os

from aiqc_dagster.build import experiment
from aiqc_dagster.defs.breast_cancer.experiment import EXPERIMENT as DEMO

JOBS = int(os.environ.get("BENCH_JOBS", "10000"))
FOLDS = 4
EXPERIMENT = DEMO.model_copy(
    update={
        "name": "many",
        "pipeline": DEMO.pipeline.model_copy(update={"fold_count": FOLDS}),
        "training": DEMO.training.model_copy(
            update={
                "hyperparameters": {
                    "neurons": list(range(1, JOBS // FOLDS // 10 + 1)),
                    "learning_rate": [i / 1000 for i in range(1, 11)],
                    "epochs": [1],
                },
                "permute_count": 0,
            }
        ),
    }
)
defs = experiment.build([EXPERIMENT])
