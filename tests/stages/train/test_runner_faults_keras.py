"""User code that misbehaves with Keras fails its own Job, with the reason."""
# ruff: noqa: ARG005 - arguments are those of the role

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import small_training

from aiqc_core.stages.train import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.slow  # TensorFlow takes seconds to import


def failure(folder: Path, **changes: Any) -> Any:
    found = run.run(small_training.make_spec(folder, "keras", **changes)).failure
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
    ("train", "kind", "reported"),
    [
        (returning(lambda model: None), "bad_result", "returned None; return the model"),
        (returning(lambda model: 3), "bad_result", "returned ['int']"),
        (returning(lambda model: (model, [1.0])), "bad_result", "returned list as history"),
        (returning(exhausted), "out_of_memory", "out of memory: OOM when allocating"),
    ],
)
def test_what_training_gave_is_reported(
    tmp_path: Path, train: Any, kind: str, reported: str
) -> None:
    """A09, B14."""
    found = failure(tmp_path, fn_train=train, hyperparameters={"batch": 999})
    assert (found.kind, reported in found.message) == (kind, True), found
    assert "batch=999" in found.message


def of_a_class(**hp: Any) -> Any:
    import keras

    return keras.optimizers.Adam


@pytest.mark.parametrize(
    ("changes", "reported"),
    [
        ({"fn_optimize": of_a_class}, "fn_optimize: returned the class Adam; return an optimizer"),
        ({"fn_optimize": lambda **hp: 0.1}, "fn_optimize: returned float"),
        ({"fn_optimize": lambda **hp: None}, "fn_optimize: returned NoneType"),
        ({"fn_lose": lambda **hp: None}, "fn_lose: returned None; return the loss"),
        ({"fn_lose": lambda **hp: dict}, "fn_lose: returned the class dict"),
    ],
)
def test_what_is_no_optimizer_or_loss_is_reported(
    tmp_path: Path, changes: Any, reported: str
) -> None:
    """D6."""
    found = failure(tmp_path, **changes)
    assert (found.kind, reported in found.message) == ("bad_result", True), found


def test_what_training_sets_for_the_whole_process_ends_with_it(tmp_path: Path) -> None:
    import keras

    def leave_behind(model: Any) -> Any:
        keras.config.set_floatx("float64")
        keras.config.set_epsilon(1e-3)
        keras.config.set_image_data_format("channels_first")
        keras.config.set_dtype_policy("mixed_bfloat16")
        np.seterr(all="ignore")
        return model

    def settings() -> Any:
        return (
            keras.config.floatx(), keras.config.epsilon(), keras.config.image_data_format(),
            np.geterr(),
        )  # fmt: skip

    before = settings()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        spec = small_training.make_spec(tmp_path, "keras", fn_train=returning(leave_behind))
        run.run(spec)
        assert (settings(), keras.config.dtype_policy().name) == (before, "mixed_float16")
    finally:
        keras.config.set_dtype_policy("float32")


def untouched(model: Any) -> Any:
    return model


def made_anew(model: Any) -> Any:
    import keras

    return keras.models.clone_model(model)


@pytest.mark.parametrize("make", [untouched, made_anew])
def test_a_model_that_nothing_trained_is_noted(tmp_path: Path, make: Any) -> None:
    """D6."""

    def build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
        import keras

        layers = keras.layers
        return keras.Sequential(
            [layers.Input((3,)), layers.Dense(16, "tanh"), layers.Dense(1, "sigmoid")]
        )

    spec = small_training.make_spec(tmp_path, "keras", fn_build=build, fn_train=returning(make))
    outcome = run.run(spec)
    assert outcome.failure is None, outcome.failure.traceback
    said = "no weight of the model moved" if make is untouched else "returns another model"
    assert said in outcome.metric_notes["train"]["weights"]


def test_a_build_that_gives_no_model_is_reported(tmp_path: Path) -> None:
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


def test_a_binary_model_without_sigmoid_is_reported_as_such(tmp_path: Path) -> None:
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
        results.append(run.run(spec).metrics)
    assert results[0] == results[1] != {}
    for split in small_training.SAMPLES:
        stored = np.load(tmp_path / split / "feature_0.npy")
        np.testing.assert_array_equal(stored, small_training.features(split))
