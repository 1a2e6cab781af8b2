"""What every executor keeps to, inherited by a class for each: `tests/contracts/executors`.

One Queue of four trainings is run until all of them are recorded: first some of them fail and are
killed, then the run is stopped in the middle, then it is run again. The tests ask what was seen.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import contract_location
import dagster as dg
import numpy as np
import pytest
from places import LOCATIONS, ROOT, SUPPORT

from aiqc_core.config import use_home
from aiqc_core.experiment import workflow
from aiqc_core.orm import Attempt, Job, Predictor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SNAPSHOT = "2026-01-01"
DEADLINE_SECONDS = 240.0  # of one run, on a machine that does other things too
QUIET_SECONDS = 2.0

SCRIPT = """
import sys
import contract_location, dagster as dg
with dg.DagsterInstance.get() as instance:
    result = dg.execute_job(
        dg.reconstructable(contract_location.run_queue),
        instance=instance,
        run_config={"ops": {"open_queue": {"config": {"queue_id": int(sys.argv[1])}}}},
        raise_on_error=False,
    )
    sys.exit(0 if result.success else 1)
"""


@dataclass
class Place:
    """A store, a Dagster instance and the notes of the trainings, in one folder."""

    folder: Path
    notes: Path = field(init=False)

    def __post_init__(self) -> None:
        self.notes = self.folder / "notes"
        self.notes.mkdir()
        (self.folder / "dagster").mkdir()
        shipped = ROOT / ".dagster_home" / "dagster.yaml"
        (self.folder / "dagster" / "dagster.yaml").write_text(shipped.read_text())

    def environment(self) -> dict[str, str]:
        """Return what runs and workers share."""
        paths = os.pathsep.join((str(ROOT), str(SUPPORT), str(LOCATIONS)))
        return {
            "AIQC_HOME": str(self.folder / "aiqc"),
            "DAGSTER_HOME": str(self.folder / "dagster"),
            "AIQC_TEST_NOTES": str(self.notes),
            "AIQC_WORKERS": "2",
            "PYTHONPATH": paths,
        }

    @contextmanager
    def wrong(self, *names: str) -> Iterator[None]:
        """Let things go wrong within the block."""
        files = [self.notes / f"{name}.on" for name in names]
        for file in files:
            file.touch()
        try:
            yield
        finally:
            for file in files:
                file.unlink()

    def lines(self) -> int:
        """Return how many lines endless trainings wrote."""
        file = self.notes / "lines"
        return len(file.read_text().splitlines()) if file.exists() else 0

    @contextmanager
    def run(self, queue_id: int, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
        """Start a run in a process of its own, which is ended in every case."""
        with (self.folder / "run.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", SCRIPT, str(queue_id)],
                env=os.environ | environment, cwd=ROOT, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def finish(self, queue_id: int, environment: dict[str, str]) -> Run:
        """Run to the end and return what is left of it."""
        with self.run(queue_id, environment) as process:
            return self.seen(process.wait(DEADLINE_SECONDS), queue_id)

    def seen(self, code: int, queue_id: int) -> Run:
        """Return what the newest run left."""
        with dg.DagsterInstance.from_config(str(self.folder / "dagster")) as instance:
            run = instance.get_runs(limit=1)[0]
            events = [
                entry.dagster_event
                for entry in instance.all_logs(run.run_id)
                if entry.dagster_event is not None
            ]
            failed = {
                str(e.step_key): [str(e.step_failure_data)] for e in events if e.is_step_failure
            }
            for event in events:
                if event.is_engine_event and event.step_key in failed:  # where Dagster's own tell
                    failed[event.step_key].append(str(event.message))
            return Run(
                code=code,
                status=run.status,
                reasons={key: " ".join(reported) for key, reported in failed.items()},
                trained=trained(queue_id),
                log=(self.folder / "run.log").read_text(errors="replace"),
            )

    def wait_for_lines(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until an endless training is at work in this run."""
        before, deadline = self.lines(), time.monotonic() + DEADLINE_SECONDS
        while self.lines() == before:
            log = (self.folder / "run.log").read_text(errors="replace")[-3000:]
            assert process.poll() is None, f"the run ended before anything trained: {log}"
            assert time.monotonic() < deadline, f"nothing trains: {log}"
            time.sleep(0.05)


@dataclass(frozen=True)
class Run:
    """What a run left: its end, the reason of each failed step, and what is trained by now."""

    code: int
    status: dg.DagsterRunStatus
    reasons: dict[str, str]
    trained: list[str]
    log: str


def trained(queue_id: int) -> list[str]:
    """Return the deed of each successful training of a Queue, doubles included."""
    of_queue = (Job.queue == queue_id) & (Attempt.status == "succeeded")
    done = Attempt.select().join(Job).where(of_queue)
    return sorted(Job.get_by_id(attempt.job_id).hyperparameters["deed"] for attempt in done)


def predictions() -> dict[str, dict[str, np.ndarray]]:
    """Return the probabilities of every split, by deed."""
    return {
        predictor.job.hyperparameters["deed"]: predictor.prediction.probabilities
        for predictor in Predictor.select()
    }


def make_queue(seed: int = 5) -> int:
    """Make the rows up to the Queue, and return its id; another seed is another Queue."""
    experiment = contract_location.EXPERIMENT.model_copy(update={"seed": seed})
    return workflow.prepare(experiment, SNAPSHOT).id


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, np.ndarray]]:
    """What a notebook without Dagster predicts from the same declaration."""
    folder = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patch, use_home(folder / "aiqc"):
        patch.setenv("AIQC_TEST_NOTES", str(folder))
        contract_location.EXPERIMENT.run(snapshot=SNAPSHOT, workers=1)
        return predictions()


@dataclass
class Story:
    """What was seen of an executor, from the first run to the last."""

    first: Run
    stopped: Run
    lines_at_end: int
    lines_later: int
    last: Run
    predictions: dict[str, dict[str, np.ndarray]]


def tell(place: Place, environment: dict[str, str], *, kills: bool) -> Story:
    """Run the Queue until all is recorded, and write down what was seen.

    Args:
        place: where; its store is the present one.
        environment: of the runs.
        kills: whether a training kills its process in the first run.
    """
    queue_id = make_queue()
    with place.wrong("raise", *(["kill"] if kills else [])):
        first = place.finish(queue_id, environment)
    with place.wrong("endless"), place.run(queue_id, environment) as process:
        place.wait_for_lines(process)
        with dg.DagsterInstance.from_config(str(place.folder / "dagster")) as instance:
            instance.report_run_canceling(instance.get_runs(limit=1)[0])
        process.send_signal(signal.SIGTERM)
        stopped = place.seen(process.wait(DEADLINE_SECONDS), queue_id)
        at_end = place.lines()
        time.sleep(QUIET_SECONDS)
        later = place.lines()
    return Story(
        first=first,
        stopped=stopped,
        lines_at_end=at_end,
        lines_later=later,
        last=place.finish(queue_id, environment),
        predictions=predictions(),
    )


class ExecutorContract:
    """The tests; a class for each executor inherits them and brings the fixture `story`."""

    #: What the first run trains beside the failing and the killed combination.
    spared: ClassVar[list[str]] = ["calm", "tidy"]

    def test_a_failing_combination_fails_the_run_and_spoils_no_other(self, story: Story) -> None:
        """B72: the exit code tells."""
        assert story.first.code == 1
        assert story.first.status == dg.DagsterRunStatus.FAILURE
        assert story.first.trained == self.spared
        (reason,) = [text for text in story.first.reasons.values() if "on purpose" in text]
        assert "raised on purpose" in reason

    def test_stop_means_stop(self, story: Story) -> None:
        """B78: the step ends, is not tried again, and its Job stays to be trained."""
        assert story.stopped.status == dg.DagsterRunStatus.CANCELED
        assert story.stopped.trained == self.spared
        assert story.lines_at_end == story.lines_later > 0

    def test_the_next_run_trains_what_is_missing_and_nothing_twice(self, story: Story) -> None:
        """B08."""
        assert story.last.code == 0, story.last.log[-3000:]
        assert story.last.status == dg.DagsterRunStatus.SUCCESS
        assert story.last.trained == sorted(contract_location.DEEDS)

    def test_the_predictions_are_those_of_a_notebook_bit_for_bit(
        self, story: Story, expected: dict[str, dict[str, np.ndarray]]
    ) -> None:
        """The same declaration is the same model, whoever trains it."""
        assert story.predictions.keys() == expected.keys() == set(contract_location.DEEDS)
        for deed, splits in expected.items():
            assert story.predictions[deed].keys() == splits.keys()
            for split, values in splits.items():
                assert np.array_equal(story.predictions[deed][split], values), (deed, split)


class KillContract(ExecutorContract):
    """Beside that, a step's process may be killed without harm to the run."""

    #: What the event log says of the killed step.
    killed: ClassVar[str]

    def test_a_killed_process_fails_its_step_alone_with_the_reason(self, story: Story) -> None:
        """Out of memory looks like this."""
        assert len(story.first.reasons) == 2
        (reason,) = [text for text in story.first.reasons.values() if "on purpose" not in text]
        assert self.killed in reason
