"""What a changed declaration makes stale, and what it leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sklearn.preprocessing import MinMaxScaler
from small_experiment import declare

from aiqc_core.experiment import workflow
from aiqc_core.experiment.workflow.versions import STAGES

if TYPE_CHECKING:
    from aiqc_core.experiment import Experiment


def trained(**changes: Any) -> Experiment:
    """Declare the small experiment with a changed training."""
    experiment = declare()
    return experiment.model_copy(
        update={"training": experiment.training.model_copy(update=changes)}
    )


def cut(**changes: Any) -> Experiment:
    """Declare the small experiment with a changed pipeline."""
    experiment = declare()
    return experiment.model_copy(
        update={"pipeline": experiment.pipeline.model_copy(update=changes)}
    )


def other_source() -> Any:
    """Read other rows."""
    return declare().load().values[:50]


@pytest.mark.parametrize(
    ("changed", "stale"),
    [
        (declare(), set()),
        (declare(scaler=MinMaxScaler()), {"feature"}),
        (declare(source=other_source), {"dataset"}),
        (cut(size_test=0.3), {"splitset"}),
        (cut(label_encoder=None), {"label"}),
        (trained(permute_count=2), {"predictor"}),
        (trained(hyperparameters={"epochs": [9]}), set()),
        (declare(metric="f1"), {"leaderboard", "champion"}),
        (declare(description="in other words", owner="team:other"), set()),
    ],
)
def test_only_the_stages_that_a_change_touches_have_another_version(
    changed: Experiment, stale: set[str]
) -> None:
    found = {s for s in STAGES if version(changed, s) != version(declare(), s)}
    assert found == stale


def version(experiment: Experiment, stage: str) -> str:
    """Return the code version of a stage."""
    return workflow.code_version(experiment, stage)
