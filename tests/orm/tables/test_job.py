"""What is recorded of a try at training, and who holds a claim."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import psutil

from aiqc_core import config
from aiqc_core.orm import (
    Algorithm,
    Attempt,
    Dataset,
    Feature,
    Hyperparamset,
    Label,
    Queue,
    Splitset,
)
from aiqc_core.orm.store import process_identity
from aiqc_core.orm.training.spec import spec_of

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from aiqc_core.orm import Job


def fn_build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    from torch import nn

    return nn.Sequential(nn.Linear(features_shape[0], label_shape[0]), nn.Sigmoid())


def fn_train(
    model: Any, loser: Any, optimizer: Any, x: Any, y: Any, eval_x: Any, eval_y: Any, **hp: Any
) -> Any:
    """Keep a checkpoint, then do what the combination says."""
    import sys

    import torch

    from aiqc_core.stages.train.hooks import checkpoint

    kept = checkpoint.active()
    kept.read()
    kept.write(b"half way")
    if hp["does"] == "exit":
        sys.exit(0)
    if hp["does"] == "memory":
        message = "CUDA out of memory. Tried to allocate 2.00 GiB"
        raise torch.cuda.OutOfMemoryError(message)
    return None if hp["does"] == "nothing" else model


def queue(*does: str) -> Queue:
    x = np.random.default_rng(0).normal(size=40)
    dataset = Dataset.Tabular.from_df(pd.DataFrame({"x": x, "y": (x > 0).astype(int)}))
    feature, label = Feature.from_dataset(dataset.id, "x"), Label.from_dataset(dataset.id, "y")
    cut = Splitset.make([feature.id], label.id, size_test=0.25, seed=1)
    algorithm = Algorithm.make("pytorch", "classification_binary", fn_build, fn_train)
    combos = Hyperparamset.from_algorithm(algorithm.id, {"does": list(does)})
    return Queue.from_algorithm(
        algorithm.id, cut.id, permute_count=0, hyperparamset_id=combos.id, seed=2
    )


def only_attempt(job: Job) -> Attempt:
    (attempt,) = job.attempts
    return attempt


def checkpoints(home: Path) -> list[str]:
    folder = home / "checkpoints"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_each_failure_is_recorded_with_kind_reason_and_memory(home: Path) -> None:
    """A09, B14: and none of them spoils the one that works."""
    row = queue("exit", "memory", "nothing", "works")
    summary = row.run_jobs(progress=False, raise_on_error=False)
    assert (summary.trained, len(summary.failures)) == (1, 3)
    found = {job.hyperparameters["does"]: only_attempt(job) for job in row.jobs}
    assert {does: (a.status, a.kind) for does, a in found.items()} == {
        "exit": ("failed", "exit"),
        "memory": ("failed", "out_of_memory"),
        "nothing": ("failed", "bad_result"),
        "works": ("succeeded", None),
    }
    for does, attempt in found.items():
        assert attempt.peak_memory_mb > 10
        assert (attempt.reason is None) == (does == "works")
    assert "sys.exit(0)" in found["exit"].reason
    assert "does='memory'" in found["memory"].reason
    assert "OutOfMemoryError" in found["memory"].traceback


def test_only_what_may_go_better_another_time_keeps_its_checkpoint(home: Path) -> None:
    """What an error ended would end so again; with more memory, training may go on."""
    row = queue("exit", "memory", "works")
    row.run_jobs(progress=False, raise_on_error=False)
    assert checkpoints(home) == [row.jobs[1].file_name(0)]


def test_a_training_is_named_by_ids_and_content(home: Path) -> None:
    job = queue("works").jobs[0]
    assert job.training_name(3) == f"q{job.queue.id}_nofold_{job.combo_key}_r3"
    spec = spec_of(job, 0, checkpoint_seconds=5, rivals=[{"loss": [1.0]}])
    assert spec.checkpoint == str(config.checkpoint_path(job.file_name(0)))
    assert (spec.checkpoint_seconds, spec.rivals) == (5, ({"loss": [1.0]},))


def test_a_claim_outlives_a_clock_that_is_set_and_not_a_reboot(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A12: psutil tells a process's start by the clock of the day."""
    owner = process_identity.this_process()
    monkeypatch.setattr(psutil, "boot_time", lambda: 0.0)
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: 12345.0)
    assert process_identity.is_alive(owner)
    if owner["boot"] is not None:
        assert not process_identity.is_alive(owner | {"boot": "another"})


def test_who_is_gone_or_came_later_under_the_same_id_is_not_alive() -> None:
    owner = process_identity.this_process()
    assert process_identity.is_alive(owner)
    assert not process_identity.is_alive(owner | {"started": owner["started"] - 2})
    assert not process_identity.is_alive(owner | {"pid": 2**22 + os.getpid()})
    assert process_identity.is_alive(owner | {"host": "elsewhere", "pid": 1, "started": 0})


def test_an_abandoned_claim_is_void_and_others_of_its_process_are_not() -> None:
    one, two = process_identity.this_process(), process_identity.this_process()
    process_identity.abandon(one)
    assert [process_identity.is_alive(owner) for owner in (one, two)] == [False, True]
