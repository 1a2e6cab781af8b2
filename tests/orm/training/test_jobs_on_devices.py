"""A Queue on device slots: what is recorded, and what becomes of Jobs when a device fails.

The devices are those of `AIQC_DEVICES`: workers, locks and failures are real, without a GPU.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import lines
import pytest

from aiqc_core.errors import TrainingError
from aiqc_core.orm import Attempt, Predictor

if TYPE_CHECKING:
    from pathlib import Path

ALONE: dict[str, Any] = {"cut": {"fold_count": None}}
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def two_devices(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two devices, whose locks are this test's alone."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("AIQC_DEVICES", "cuda:0,cuda:1")
    monkeypatch.delenv("AIQC_DEVICE", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def fn_train(
    model: Any, loser: Any, optimizer: Any, train_features: Any, train_label: Any,
    eval_features: Any, eval_label: Any, **hp: Any,
) -> Any:  # fmt: skip
    """Fail on the devices that have the fault, as torch does."""
    import os

    if os.environ["CUDA_VISIBLE_DEVICES"] in hp["faulty"].split():
        message = "CUDA error: uncorrectable ECC error encountered"
        raise RuntimeError(message)
    return {"loss": [0.0]}, model


def hungry(
    model: Any, loser: Any, optimizer: Any, train_features: Any, train_label: Any,
    eval_features: Any, eval_label: Any, **hp: Any,
) -> Any:  # fmt: skip
    """Run out of memory the first time that it is tried."""
    from pathlib import Path

    tried = Path(hp["folder"]) / f"tried {hp['weight']}"
    if not tried.exists():
        tried.touch()
        message = "CUDA out of memory. Tried to allocate 999 GiB"
        raise RuntimeError(message)
    return {"loss": [0.0]}, model


def test_jobs_of_a_lost_device_go_on_on_the_others_and_each_device_is_recorded() -> None:
    queue = lines.queue({"weight": [1, 2, 3], "faulty": ["0"]}, train=fn_train, **ALONE)
    summary = queue.run_jobs(progress=False)
    assert (summary.trained, len(summary.failures)) == (3, 0)
    assert [p.device for p in Predictor.select()] == [{"device": "cpu", "slot": "cuda:1"}] * 3
    (failed,) = Attempt.select().where(Attempt.status == "failed")
    assert failed.kind == "device_lost"
    assert failed.device == {"device": "cpu", "slot": "cuda:0"}
    assert failed.reason.startswith("the device cuda:0 is lost: CUDA error: uncorrectable ECC")
    assert "nvidia-smi" in failed.reason
    done = Attempt.select().where(Attempt.status == "succeeded")
    assert Counter(a.device["slot"] for a in done) == {"cuda:1": 3}


def test_when_the_last_device_is_lost_the_rest_waits_for_another_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue = lines.queue({"weight": [1, 2, 3, 4], "faulty": ["0 1"]}, train=fn_train, **ALONE)
    with pytest.raises(TrainingError, match=r"(?s)is lost: CUDA error.*No device is left"):
        queue.run_jobs(progress=False)
    assert Predictor.select().count() == 0
    assert Attempt.select().where(Attempt.status == "running").count() == 0
    monkeypatch.setenv("AIQC_DEVICES", "cpu")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert queue.run_jobs(progress=False).trained == 4
    assert [p.device for p in Predictor.select()] == [{"device": "cpu"}] * 4


def test_what_ran_out_of_memory_is_tried_once_more_on_a_whole_device_by_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AIQC_DEVICES", "cuda:0")
    monkeypatch.setenv("AIQC_SLOTS_PER_DEVICE", "2")
    queue = lines.queue({"weight": [1], "folder": [str(tmp_path)]}, train=hungry, **ALONE)
    monkeypatch.setenv("AIQC_OOM_RETRY", "yes")
    with pytest.raises(TrainingError, match="AIQC_OOM_RETRY='yes': give 1 or 0"):
        queue.run_jobs(progress=False)
    assert Attempt.select().count() == 0
    monkeypatch.setenv("AIQC_OOM_RETRY", "1")
    assert queue.run_jobs(progress=False).trained == 1
    found = [(a.status, a.kind) for a in Attempt.select().order_by(Attempt.id)]
    assert found == [("failed", "out_of_memory"), ("succeeded", None)]


def test_a_malformed_setting_is_refused_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue = lines.queue({"weight": [1]}, **ALONE)
    monkeypatch.setenv("AIQC_DEVICES", "gpu")
    with pytest.raises(TrainingError, match="AIQC_DEVICES='gpu'"):
        queue.run_jobs(progress=False)
    assert Attempt.select().count() == 0
