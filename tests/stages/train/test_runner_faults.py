"""User code that misbehaves fails its own Job, with the reason, and nothing else."""
# ruff: noqa: ARG005 - arguments are those of the role

from __future__ import annotations

import itertools
import threading
import weakref
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import small_training
import torch
from torch import nn

from aiqc_core.stages.train import run
from aiqc_core.stages.train.functions.capture import capture
from aiqc_core.stages.train.hooks import checkpoint, observer
from aiqc_core.workers.pool import WarmPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from aiqc_core.stages.train.spec import JobOutcome, JobSpec

TRAIN = "aiqc_core.stages.train.run:run"
make_spec = small_training.make_spec


def training(statement: Callable[..., Any]) -> Callable[..., Any]:
    """Return an fn_train that does something and returns its model."""

    def train(model: Any, loser: Any, o: Any, x: Any, y: Any, a: Any, b: Any, **hp: Any) -> Any:
        statement(model)
        return model

    return train


def failure(spec: JobSpec) -> Any:
    found = run.run(spec).failure
    assert found is not None
    return found


@pytest.fixture(scope="module")
def pool() -> Iterator[WarmPool]:
    with WarmPool(1) as pool:
        yield pool


def on(pool: WarmPool, spec: JobSpec) -> Any:
    """Run a training in a worker; return what came back."""
    pool.submit("training", TRAIN, spec)
    (finished,) = pool.wait(60)
    return finished


def left_running(model: Any) -> None:
    import threading
    import time

    threading.Thread(target=time.sleep, args=(5,), name="late").start()


@pytest.mark.slow
def test_a_worker_survives_what_training_leaves_and_says(tmp_path: Path, pool: WarmPool) -> None:
    """A09: each is a failed Job, the next one is trained as if nothing had been."""
    import os
    import sys

    def printing(model: Any) -> None:
        print("x" * 100_000, flush=True)  # noqa: T201 - what users do
        os.write(1, b"straight to the descriptor\n")

    expected = run.run(make_spec(tmp_path))
    kinds: list[str] = []
    for statement in (left_running, lambda _: sys.exit(0), lambda _: exit_with("ended")):
        outcome: JobOutcome = on(pool, make_spec(tmp_path, fn_train=training(statement))).value
        assert outcome.failure is not None
        assert outcome.model is None
        kinds.append(outcome.failure.kind)
    assert kinds == ["bad_result", "exit", "exit"]
    died = on(pool, make_spec(tmp_path, fn_train=training(lambda _: os._exit(0))))
    assert died.error is not None
    assert "exit code 0 in the middle" in died.error.message
    assert on(pool, make_spec(tmp_path, fn_train=training(printing))).value.failure is None
    found: JobOutcome = on(pool, make_spec(tmp_path)).value
    assert found.history == expected.history
    for split, probabilities in (expected.probabilities or {}).items():
        np.testing.assert_array_equal((found.probabilities or {})[split], probabilities)


def exit_with(message: str) -> None:
    raise SystemExit(message)


def test_what_training_sets_for_the_whole_process_ends_with_it(tmp_path: Path) -> None:
    def leave_behind(model: Any) -> None:
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        torch.use_deterministic_algorithms(True)

    before = torch.are_deterministic_algorithms_enabled()
    run.run(make_spec(tmp_path, fn_train=training(leave_behind)))
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32
    assert torch.are_deterministic_algorithms_enabled() == before
    assert run.run(make_spec(tmp_path)).failure is None


def test_a_thread_that_is_left_running_fails_the_job(tmp_path: Path) -> None:
    """A09: it could go on changing the model while that is judged and stored."""
    found = failure(make_spec(tmp_path, fn_train=training(left_running)))
    assert found.kind == "bad_result"
    assert "left the thread 'late' running" in found.message
    assert "Join it" in found.message


def test_threads_that_end_or_do_not_count_are_no_fault(tmp_path: Path) -> None:
    def busy(model: Any) -> None:
        import threading
        import time
        from concurrent.futures import ThreadPoolExecutor

        threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
        threading.Thread(target=time.sleep, args=(0.2,)).start()
        keep["pool"] = ThreadPoolExecutor(1)
        keep["pool"].submit(int).result()

    keep: dict[str, Any] = {}
    before = threading.active_count()
    assert run.run(make_spec(tmp_path, fn_train=training(busy))).failure is None
    assert threading.active_count() <= before + 2


@pytest.mark.parametrize(
    ("build", "reported"),
    [
        (lambda *_, **hp: None, "fn_build: returned NoneType; return the model"),
        (lambda *_, **hp: 3, "fn_build: returned int"),
        (lambda *_, **hp: nn.Linear, "fn_build: returned type"),
    ],
)
def test_what_is_no_model_is_reported_before_training(
    tmp_path: Path, build: Any, reported: str
) -> None:
    found = failure(make_spec(tmp_path, fn_build=build, fn_train=training(exit_with)))
    assert (found.kind, reported in found.message) == ("bad_result", True), found


def test_a_model_that_was_never_given_is_reported(tmp_path: Path) -> None:
    """A09: another architecture could not be loaded again."""

    def other(model: Any, loser: Any, o: Any, x: Any, y: Any, a: Any, b: Any, **hp: Any) -> Any:
        return nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1), nn.Sigmoid())

    assert (
        "Return from fn_train the model that it was given"
        in failure(make_spec(tmp_path, fn_train=other)).message
    )


def test_outputs_that_would_broadcast_with_the_label_are_refused(tmp_path: Path) -> None:
    """B16: in the judging too, where no fit of ours has looked before."""

    def build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
        return nn.Sequential(nn.Linear(features_shape[0], 2), nn.Sigmoid())

    spec = make_spec(tmp_path, fn_build=build, fn_train=training(lambda _: None))
    found = failure(spec)
    assert "would broadcast" in found.message
    assert "(40, 2)" in found.message
    assert "(40, 1)" in found.message


@pytest.mark.parametrize(
    ("predict", "reported"),
    [
        (lambda model, x: (model(x) * 0 + 2, model(x)), "not ordinal classes"),
        (lambda model, x: (model(x) > 0.5, model(x) - 1), r"not in [0, 1]"),
        (lambda model, x: ((model(x) > 0.5)[:-1], model(x)), "(39, 1) for 40 samples"),
        (lambda model, x: (model(x) > 0.5, model(x)[:1]), "(1, 1) for 40 samples"),
        (lambda model, x: None, "predictions have shape () for 40 samples"),
        (lambda model, x: (model(x) > 0.5, model(x).repeat(1, 3)), "shape"),
    ],
)
def test_predictions_that_cannot_be_such_are_refused(
    tmp_path: Path, predict: Any, reported: str
) -> None:
    found = failure(make_spec(tmp_path, fn_predict=predict))
    assert found.kind == "bad_result"
    assert reported in found.message


def test_memory_is_free_again_after_it_ran_out(tmp_path: Path) -> None:
    """B14: nothing holds the model or the batch that were too large."""
    freed = tmp_path / "freed"
    freed.mkdir()

    def hoard(model: Any) -> None:
        batch = torch.zeros(1000)
        weakref.finalize(model, (freed / "model").touch)
        weakref.finalize(batch, (freed / "batch").touch)
        message = "CUDA out of memory. Tried to allocate 2.00 GiB"
        raise torch.cuda.OutOfMemoryError(message)

    spec = make_spec(tmp_path, fn_train=training(hoard), hyperparameters={"batch": 999})
    found = failure(spec)
    assert found.kind == "out_of_memory"
    assert "batch=999" in found.message
    assert sorted(path.name for path in freed.iterdir()) == ["batch", "model"]


def test_times_never_go_back_when_the_clock_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A12."""
    noon = datetime(2026, 10, 25, 12, tzinfo=timezone(timedelta(hours=2)))
    hours = itertools.count(0, -1)
    monkeypatch.setattr(run, "timezone_now", lambda: noon + timedelta(hours=next(hours)))
    outcome = run.run(make_spec(tmp_path))
    assert outcome.time_started == noon
    elapsed = (outcome.time_succeeded - outcome.time_started).total_seconds()
    assert 0 < sum(outcome.seconds.values()) <= elapsed < 60
    assert all(seconds >= 0 for seconds in outcome.seconds.values())


def test_training_is_watched_and_nothing_else(tmp_path: Path) -> None:
    """Checkpoint and observer are there during fn_train alone, with what the Job was given."""

    def pruner(history: Any, rivals: Any) -> bool:
        return len(history["loss"]) == len(rivals)

    spec = make_spec(
        tmp_path / "samples",
        checkpoint=str(tmp_path / "kept"),
        checkpoint_seconds=0,
        pruner=capture("fn_predict", pruner).payload,
        rivals=({"loss": [0.1]}, {"loss": [0.2]}),
    )
    outcome = run.run(spec)
    assert outcome.failure is None, outcome.failure.traceback
    assert outcome.pruned
    assert len(outcome.history["loss"]) == 2
    assert (tmp_path / "kept").exists()
    assert (checkpoint.active(), observer.active()) == (None, None)
    again = run.run(spec)  # goes on from what the first one kept after its first epoch
    assert again.history == outcome.history
    unwatched = run.run(make_spec(tmp_path / "samples"))
    assert not unwatched.pruned
    assert unwatched.history["loss"][:2] == outcome.history["loss"]
