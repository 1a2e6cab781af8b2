"""The contract of the executors, kept by Celery: a real Redis, and workers as processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from executor_contract import KillContract, Place, Story, expected, tell

if TYPE_CHECKING:
    from services_celery import Farm

__all__ = ["expected"]  # a fixture

# Processes that each import a framework, on a machine that does other things too.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def story(place: Place, farm: Farm) -> Story:
    return tell(place, farm.environment, kills=True)


class TestCelery(KillContract):
    killed = "SIGKILL"

    def test_trainings_go_to_the_queue_gpu_and_everything_else_to_default(
        self, story: Story, farm: Farm
    ) -> None:
        del story  # has been reported
        gpu, default = (farm.workers[queue].taken() for queue in ("gpu", "default"))
        assert gpu
        assert {key.partition("[")[0] for key in gpu} == {"notebook_train_job"}
        assert set(default) == {"open_queue", "notebook_plan_jobs", "notebook_finish_queue"}
