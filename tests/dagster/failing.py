"""A code location whose experiment has a combination that cannot be built."""

from __future__ import annotations

from typing import Any

from aiqc_dagster import definitions
from aiqc_dagster.defs.breast_cancer import experiment as demo


def fn_build(features_shape: tuple[int], label_shape: tuple[int], **hp: Any) -> Any:
    """Refuse one number of neurons."""
    if hp["neurons"] == 13:
        message = "13 neurons bring bad luck"
        raise ValueError(message)
    return demo.fn_build(features_shape, label_shape, **hp)


grid = {"neurons": [8, 13, 16, 32], "learning_rate": [0.01], "epochs": [3]}
training = demo.EXPERIMENT.training.model_copy(
    update={"fn_build": fn_build, "hyperparameters": grid}
)
defs = definitions.build(
    [demo.EXPERIMENT.model_copy(update={"name": "unlucky", "training": training})]
)
