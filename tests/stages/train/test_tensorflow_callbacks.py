"""Callbacks for Keras: thresholds, the pruner, and going on after a kill."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from aiqc_core.stages.train.hooks import checkpoint, observer

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow  # TensorFlow takes seconds to import

EPOCHS = 6
X = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
Y = X.sum(axis=1, keepdims=True)


def model_of(seed: int = 3) -> Any:
    from aiqc_core.stages.train.backends.keras.backend import keras

    layers = keras.layers
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([
        layers.Input((3,)), layers.Dense(4, "tanh"), layers.Dropout(0.5),
        layers.BatchNormalization(), layers.Dense(1),
    ])  # fmt: skip
    model.compile(loss="mse", optimizer=keras.optimizers.Adam(0.01), metrics=["mae"])
    return model


def trained(model: Any, *callbacks: Any) -> dict[str, list[float]]:
    from aiqc_core.stages.train.backends.keras.backend import keras

    keras.utils.set_random_seed(7)
    return model.fit(
        X, Y, validation_data=(X[:10], Y[:10]), epochs=EPOCHS, batch_size=8, verbose=0,
        callbacks=list(callbacks),
    ).history  # fmt: skip


def killer(after: int) -> Any:
    from aiqc_core.stages.train.backends.keras.backend import keras

    def kill(epoch: int, _: Any) -> None:
        if epoch + 1 == after:
            raise KeyboardInterrupt

    return keras.callbacks.LambdaCallback(on_epoch_end=kill)


def test_training_stops_at_the_end_of_the_epoch_at_which_all_thresholds_hold() -> None:
    from aiqc_core.utils.tensorflow import TrainingCallback

    free = trained(model_of())
    wanted = [
        {"metric": "loss", "cutoff": free["loss"][1], "above_or_below": "below"},
        {"metric": "val_mae", "cutoff": free["val_mae"][2], "above_or_below": "below"},
    ]
    reached = [
        a <= wanted[0]["cutoff"] and b <= wanted[1]["cutoff"]
        for a, b in zip(free["loss"], free["val_mae"], strict=True)
    ]
    stopped = trained(model_of(), TrainingCallback.MetricCutoff(wanted))
    assert stopped == {name: values[: reached.index(True) + 1] for name, values in free.items()}


def test_an_unknown_metric_is_reported_with_those_there_are() -> None:
    from aiqc_core.utils.tensorflow import TrainingCallback

    cutoff = {"metric": "accuracy", "cutoff": 0.9, "above_or_below": "above"}
    with pytest.raises(ValueError, match=r"'accuracy'.*\['loss', 'mae', 'val_loss', 'val_mae'\]"):
        trained(model_of(), TrainingCallback.MetricCutoff([cutoff]))


def test_the_pruner_stops_a_training_that_reports_its_progress() -> None:
    from aiqc_core.utils.tensorflow import TrainingCallback

    looking_on = observer.Observer("job", lambda history, _: len(history["val_loss"]) == 2)
    with observer.opened(looking_on):
        assert len(trained(model_of(), TrainingCallback.Progress())["loss"]) == 2
    assert looking_on.pruned
    assert len(trained(model_of(), TrainingCallback.Progress())["loss"]) == EPOCHS


@pytest.mark.parametrize("killed_after", [2, EPOCHS])
def test_a_resumed_training_is_bit_for_bit_the_uninterrupted_one(
    tmp_path: Path, killed_after: int
) -> None:
    """With dropout, batch normalisation, shuffling, and a callback that has a memory."""
    from aiqc_core.stages.train.backends.keras.backend import keras
    from aiqc_core.utils.tensorflow import TrainingCallback

    def plateau() -> Any:
        return keras.callbacks.ReduceLROnPlateau(monitor="val_mae", patience=1, min_delta=1.0)

    expected = model_of()
    history = trained(expected, plateau())
    with checkpoint.opened(checkpoint.Checkpoint(tmp_path, 0)), pytest.raises(KeyboardInterrupt):
        trained(model_of(), TrainingCallback.Resume(), plateau(), killer(killed_after))
    resumed = model_of(seed=99)
    with checkpoint.opened(checkpoint.Checkpoint(tmp_path, 0)):
        assert trained(resumed, TrainingCallback.Resume(), plateau()) == history
    for mine, theirs in zip(resumed.variables, expected.variables, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
    mine, theirs = resumed.optimizer.variables, expected.optimizer.variables
    for one, other in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_without_a_job_nothing_is_kept_and_nothing_changes() -> None:
    from aiqc_core.utils.tensorflow import TrainingCallback

    callbacks = TrainingCallback.Resume(), TrainingCallback.Progress()
    assert trained(model_of(), *callbacks) == trained(model_of())
