"""The sweep as a declared experiment, as a notebook would import it: without Dagster."""

from __future__ import annotations

from sweep_loop import train

from aiqc_dagster.defs.breast_cancer.experiment import EXPERIMENT as DEMO

GRID = {
    "neurons": [8, 16, 24, 32],
    "learning_rate": [0.001, 0.003, 0.005, 0.01, 0.02, 0.03],
}
EXPERIMENT = DEMO.model_copy(
    update={
        "name": "sweep",
        "pipeline": DEMO.pipeline.model_copy(update={"fold_count": None, "size_validation": 0.2}),
        "training": DEMO.training.model_copy(
            update={"fn_train": train, "hyperparameters": GRID, "permute_count": 0}
        ),
    }
)
