"""User code that misbehaves with Keras fails its own Job, with the reason."""
# ruff: noqa: ARG005 - arguments are those of the role

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import small_training

from aiqc_core.train import runner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.slow  # TensorFlow takes seconds to import


def failure(folder: Path, **changes: Any) -> Any:
    found = runner.run(small_training.make_spec(folder, "keras", **changes)).failure
    assert found is not None
    return found


def returning(make: Callable[[Any], Any]) -> Callable[..., Any]:
    def train(model: Any, loser: Any, o: Any, x: Any, y: Any, a: Any, b: Any, **hp: Any) -> Any:
        return make(model)

    return train


def exhausted(model: Any) -> None:
    import tensorflow as tf

    raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor [99999,99999]")


@pytest.mark.parametrize(
    ("train", "kind", "told"),
    [
        (returning(lambda model: None), "bad_result", "returned None; return the model"),
        (returning(lambda model: 3), "bad_result", "returned ['int']"),
        (returning(lambda model: (model, [1.0])), "bad_result", "returned list as history"),
        (returning(exhausted), "out_of_memory", "out of memory: OOM when allocating"),
    ],
)
def test_what_training_gave_is_told(tmp_path: Path, train: Any, kind: str, told: str) -> None:
    """A09, B14."""
    found = failure(tmp_path, fn_train=train, hyperparameters={"batch": 999})
    assert (found.kind, told in found.message) == (kind, True), found
    assert "batch=999" in found.message


def test_a_build_that_gives_no_model_is_told(tmp_path: Path) -> None:
    found = failure(tmp_path, fn_build=lambda *_, **hp: [1])
    assert (found.kind, "fn_build: returned list" in found.message) == ("bad_result", True)


def test_outputs_that_would_broadcast_with_the_label_are_refused(tmp_path: Path) -> None:
    """B16: Keras itself trains on such without a word."""

    def build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
        import keras

        return keras.Sequential([keras.layers.Input(features_shape), keras.layers.Dense(2)])

    def lose(**hp: Any) -> Any:
        import keras

        return keras.losses.MeanSquaredError()

    found = failure(tmp_path, fn_build=build, fn_lose=lose)
    assert "would broadcast" in found.message
    assert "(40, 2)" in found.message
    assert "(40, 1)" in found.message


def test_a_binary_model_without_sigmoid_is_told_so(tmp_path: Path) -> None:
    def build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
        import keras

        dense = keras.layers.Dense(1, bias_initializer="ones")
        return keras.Sequential([keras.layers.Input(features_shape), dense])

    assert "sigmoid" in failure(tmp_path, fn_build=build).message


def test_functions_that_change_their_arrays_change_nothing_else(tmp_path: Path) -> None:
    """A09."""

    def train(model: Any, loser: Any, o: Any, x: Any, y: Any, a: Any, b: Any, **hp: Any) -> Any:
        model.compile(loss=loser, optimizer=o)
        model.fit(x, y, epochs=1, batch_size=8, verbose=0)
        if hp["mutate"]:
            for array in (x, y, a, b):
                array[:] = 0
        return model

    results: list[Any] = []
    for mutate in (False, True):
        spec = small_training.make_spec(
            tmp_path, "keras", fn_train=train, hyperparameters={"mutate": mutate}
        )
        results.append(runner.run(spec).metrics)
    assert results[0] == results[1] != {}
    for split in small_training.SAMPLES:
        stored = np.load(tmp_path / split / "feature_0.npy")
        np.testing.assert_array_equal(stored, small_training.features(split))
