"""The same seed gives the same model on one worker, on two, and after a kill in the middle."""
# ruff: noqa: ARG002 - arguments are those that Keras gives

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

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

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow  # starts workers that import a framework

EPOCHS = 6


def note_and_perhaps_die(name: Any, epoch: int) -> None:
    """Write down an epoch that was computed; die in the middle where the test asks for it."""
    import os
    import signal
    import time

    from aiqc_core import config

    with (config.home() / "epochs").open("a") as log:
        log.write(f"{name} {epoch}\n")
    order = config.home() / f"at_epoch_{name}"
    if epoch == 4 and order.exists():
        how = order.read_text()
        order.unlink()
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(600)


def torch_build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    from torch import nn

    width = hp["width"]
    layers = nn.Linear(features_shape[0], width), nn.Tanh(), nn.Dropout(0.3)
    return nn.Sequential(*layers, nn.Linear(width, label_shape[0]), nn.Sigmoid())


def torch_train(
    model: Any, loser: Any, optimizer: Any, x: Any, y: Any, eval_x: Any, eval_y: Any, **hp: Any
) -> Any:
    from aiqc_core.utils.pytorch import fit

    class Dying:
        def epoch(self, history: Any) -> bool:
            note_and_perhaps_die(hp["width"], len(history["loss"]))
            return False

    return fit(
        model, loser, optimizer, x, y, eval_x, eval_y,
        epochs=6, batch_size=16, callbacks=[Dying()],
    )  # fmt: skip


def keras_build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input(features_shape),
            layers.Dense(hp["width"], "tanh"),
            layers.Dropout(0.3),
            layers.Dense(label_shape[0], "sigmoid"),
        ]
    )


def keras_train(
    model: Any, loser: Any, optimizer: Any, x: Any, y: Any, eval_x: Any, eval_y: Any, **hp: Any
) -> Any:
    import keras

    from aiqc_core.utils.tensorflow import TrainingCallback

    class Dying(keras.callbacks.Callback):
        steps = 0

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.steps += bool(logs)  # nothing is reported of batches that are only replayed

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if self.steps:
                note_and_perhaps_die(hp["width"], epoch + 1)

    model.compile(loss=loser, optimizer=optimizer)
    model.fit(
        x, y, validation_data=(eval_x, eval_y), epochs=6, batch_size=16, verbose=0,
        callbacks=[TrainingCallback.Resume(), Dying()],
    )  # fmt: skip
    return model


FUNCTIONS = {"pytorch": (torch_build, torch_train), "keras": (keras_build, keras_train)}


@pytest.fixture(params=list(FUNCTIONS))
def algorithm(request: pytest.FixtureRequest, home: Path) -> Algorithm:
    return Algorithm.make(request.param, "classification_binary", *FUNCTIONS[request.param])


def queue(algorithm: Algorithm) -> Queue:
    """Make a Queue of two Jobs; every one of an Algorithm has the same seeds."""
    x = np.random.default_rng(0).normal(size=(60, 2))
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": (x.sum(axis=1) > 0).astype(int)})
    dataset = Dataset.Tabular.from_df(frame)
    feature, label = (
        Feature.from_dataset(dataset.id, ["a", "b"]),
        Label.from_dataset(dataset.id, "y"),
    )
    cut = Splitset.make([feature.id], label.id, size_test=0.2, size_validation=0.2, seed=1)
    combos = Hyperparamset.from_algorithm(algorithm.id, {"width": [3, 5]})
    return Queue.from_algorithm(
        algorithm.id, cut.id, permute_count=0, hyperparamset_id=combos.id, seed=2
    )


def results(of: Queue) -> dict[str, Any]:
    """Return history, probabilities and predictions of the model as stored, by Job."""
    found: dict[str, Any] = {}
    for job in of.jobs:
        (predictor,) = job.predictors
        probabilities = predictor.predictions[0].probabilities
        found[job.key] = predictor.history, {s: p.tolist() for s, p in probabilities.items()}
    return found


def epochs_computed(home: Path) -> dict[str, list[int]]:
    """Return the epochs that were computed since the last call, by width."""
    log: dict[str, list[int]] = {}
    for line in (home / "epochs").read_text().splitlines():
        width, epoch = line.split()
        log.setdefault(width, []).append(int(epoch))
    (home / "epochs").unlink()
    return log


WHOLE = list(range(1, EPOCHS + 1))


def test_one_worker_two_and_one_that_was_killed_agree(algorithm: Algorithm, home: Path) -> None:
    """B64, B15: bit for bit, history and predictions."""
    alone, killed = queue(algorithm), queue(algorithm)
    alone.run_jobs(workers=1, time_limit=600, progress=False)  # one process of the pool
    assert epochs_computed(home) == {"3": WHOLE, "5": WHOLE}
    (home / "at_epoch_5").write_text("killed")
    summary = killed.run_jobs(
        workers=2, checkpoint_seconds=0, progress=False, raise_on_error=False
    )
    assert (summary.trained, len(summary.failures)) == (1, 1)
    assert "signal 9 (SIGKILL)" in summary.failures[0].reason
    assert "width=5" in summary.failures[0].reason
    died = Attempt.get(Attempt.kind == "died")
    assert died.peak_memory_mb > 10
    (folder,) = (home / "checkpoints").iterdir()
    assert folder.name == killed.jobs[1].file_name(0)
    assert epochs_computed(home) == {"3": WHOLE, "5": [1, 2, 3, 4]}
    killed.run_jobs(workers=1, time_limit=600, checkpoint_seconds=0, progress=False)
    # The callback of torch's fit dies before the fourth epoch is kept, that of Keras after.
    lost = [4] if algorithm.library == "pytorch" else []
    assert epochs_computed(home) == {"5": [*lost, 5, 6]}
    assert results(killed) == results(alone)
    assert not list((home / "checkpoints").iterdir())


def test_a_training_past_its_time_limit_goes_on_when_it_is_given_more(home: Path) -> None:
    """B85: the others are not touched, and what it had learned is not lost."""
    algorithm = Algorithm.make("pytorch", "classification_binary", torch_build, torch_train)
    row = queue(algorithm)
    (home / "at_epoch_3").write_text("sleeping")
    summary = row.run_jobs(
        workers=2, time_limit=15, checkpoint_seconds=0, progress=False, raise_on_error=False
    )
    assert (summary.trained, len(summary.failures)) == (1, 1)
    assert "stopped after its time limit of 15 s" in summary.failures[0].reason
    assert Attempt.get(Attempt.status == "failed").kind == "time_limit"
    epochs_computed(home)
    row.run_jobs(progress=False)  # without asking for checkpoints, it takes the one that is there
    assert epochs_computed(home) == {"3": [4, 5, 6]}
    assert not list((home / "checkpoints").iterdir())


def test_a_process_that_was_killed_itself_leaves_its_checkpoint_too(home: Path) -> None:
    algorithm = Algorithm.make("pytorch", "classification_binary", torch_build, torch_train)
    row = queue(algorithm)
    (home / "at_epoch_3").write_text("killed")
    code = (
        f"from aiqc_core.orm import Queue\n"
        f"Queue.get_by_id({row.id}).run_jobs(checkpoint_seconds=0, progress=False)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, env=dict(os.environ))
    assert done.returncode == -signal.SIGKILL
    epochs_computed(home)
    assert row.run_jobs(progress=False).trained == 2
    assert epochs_computed(home) == {"3": [4, 5, 6], "5": WHOLE}
