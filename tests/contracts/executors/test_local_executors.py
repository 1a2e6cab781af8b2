"""The contract of the executors, kept by those that need nothing but this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from executor_contract import (
    ExecutorContract,
    KillContract,
    Place,
    Story,
    expected,
    make_queue,
    tell,
)

from aiqc_core.config import use_home

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["expected"]  # a fixture

# Processes that each import a framework, on a machine that does other things too.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="class")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = Place(tmp_path_factory.mktemp("place"))
    with use_home(place.folder / "aiqc"):
        yield place


@pytest.fixture(scope="class")
def story(request: pytest.FixtureRequest, place: Place) -> Story:
    environment = place.environment() | {"AIQC_EXECUTOR": request.cls.executor}
    return tell(place, environment, kills=issubclass(request.cls, KillContract))


class TestWarmPool(KillContract):
    executor: ClassVar[str] = "warm_pool"
    killed = "SIGKILL"


class TestMultiprocess(KillContract):
    executor: ClassVar[str] = "multiprocess"
    killed = "SIGKILL"


class TestInProcess(ExecutorContract):
    executor: ClassVar[str] = "in_process"
    spared: ClassVar[list[str]] = ["calm", "kill", "tidy"]


def test_a_killed_run_without_workers_is_finished_by_the_next(
    tmp_path: Any,
) -> None:
    """In one process a killed step takes its run along."""
    place = Place(tmp_path)
    environment = place.environment() | {"AIQC_EXECUTOR": "in_process"}
    with use_home(place.folder / "aiqc"):
        queue_id = make_queue()
        with place.wrong("kill"):
            assert place.finish(queue_id, environment).code == -9
        done = place.finish(queue_id, environment)
    assert done.code == 0, done.log[-3000:]
    assert done.trained == ["calm", "kill", "raise", "tidy"]
