"""24 Jobs of one architecture: one after another, and stacked."""

from __future__ import annotations

import itertools
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import fit_sides
import numpy as np

from aiqc_core.stages.preprocess.pipeline import FittedLabel
from aiqc_core.stages.train.functions.capture import capture
from aiqc_core.stages.train.run import run
from aiqc_core.stages.train.spec import JobSpec
from aiqc_core.stages.train.stacking.run import groups, run_stacked

if TYPE_CHECKING:
    from aiqc_core.stages.train.spec import JobOutcome

RATES, DECAYS, REPEATS = (0.001, 0.003, 0.01), (0.0, 1e-4, 1e-3, 1e-2), 2


def fn_build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    """Build the model of the other sides."""
    from torch import nn

    del hp
    return nn.Sequential(
        nn.Linear(features_shape[0], 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(),
        nn.Linear(16, label_shape[0]), nn.Sigmoid(),
    )  # fmt: skip


def fn_optimize(model: Any, **hp: Any) -> Any:
    """Make Adam with the numbers of the combination."""
    import torch

    return torch.optim.Adam(model.parameters(), lr=hp["rate"], weight_decay=hp["decay"])


def fn_train(
    model: Any, loser: Any, optimizer: Any, x: Any, y: Any, eval_x: Any, eval_y: Any, **hp: Any
) -> Any:
    """Train as long as the other sides."""
    from aiqc_core.utils.pytorch import fit

    del hp
    return fit(model, loser, optimizer, x, y, eval_x, eval_y, epochs=30, batch_size=32)


def specs(folder: Path) -> list[JobSpec]:
    """Write the samples, and return 3 learning rates × 4 weight decays × 2 repeats."""
    x, y, ex, ey = fit_sides.data()
    for split, (features, label) in {"train": (x, y), "test": (ex, ey)}.items():
        (folder / split).mkdir()
        np.save(folder / split / "feature_0.npy", features.numpy())
        np.save(folder / split / "label.npy", label.numpy())
    user = {"fn_build": fn_build, "fn_train": fn_train, "fn_optimize": fn_optimize}
    functions = {role: capture(role, fn).payload for role, fn in user.items()}
    grid = itertools.product(RATES, DECAYS, range(REPEATS))
    return [
        JobSpec(
            job_id=index, repeat_index=repeat, name=f"job {index}", library="pytorch",
            analysis_type="classification_binary",
            functions={"fn_predict": None, "fn_lose": None} | functions,
            hyperparameters={"rate": rate, "decay": decay}, seed=index,
            samples={split: str(folder / split) for split in ("train", "test")},
            key_train="train", key_evaluation="test", feature_count=1,
            label=FittedLabel(("y",), None, (0, 1)),
            column_groups=(None,), permute_count=0,
        )
        for index, (rate, decay, repeat) in enumerate(grid)
    ]  # fmt: skip


def compare(rounds: int) -> dict[str, float]:
    """Return the least seconds of each way, and how far the final losses are apart.

    The differences are rounding in float32, which 30 epochs amplify where a rate is high; in
    double precision they are below 1e-9 (tests/stages/train/test_stacked.py).
    """
    with tempfile.TemporaryDirectory() as folder:
        jobs = specs(Path(folder))
        found, reasons = groups(jobs)
        assert [len(group) for group in found] == [24], reasons
        run(jobs[0]), run_stacked(jobs[:2])  # what is made at first use
        seconds: dict[str, list[float]] = {}
        gaps: list[float] = []
        for _ in range(rounds):
            alone = _timed(seconds, "alone", lambda: [run(job) for job in jobs])
            stacked = _timed(seconds, "stacked", lambda: run_stacked(jobs))
            pairs = zip(alone, stacked, strict=True)
            gaps += [abs(a.history["loss"][-1] - b.history["loss"][-1]) for a, b in pairs]
    least = {name: min(values) for name, values in seconds.items()}
    return least | {"apart_median": median(gaps), "apart_most": max(gaps)}


def _timed(seconds: dict[str, list[float]], name: str, call: Any) -> list[JobOutcome]:
    before = time.process_time()
    outcomes = call()
    seconds.setdefault(f"{name}_all", []).append(time.process_time() - before)
    assert all(outcome.failure is None for outcome in outcomes)
    training = sum(outcome.seconds["train"] for outcome in outcomes)
    seconds.setdefault(f"{name}_training", []).append(training)
    return outcomes
