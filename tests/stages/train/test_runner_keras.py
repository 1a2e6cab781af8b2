"""One training with Keras: what differs from PyTorch."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn import metrics as sk

from aiqc_core.stages.preprocess.pipeline import FittedLabel
from aiqc_core.stages.train.functions.capture import capture
from aiqc_core.stages.train.run import JobSpec, load_model, run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow  # TensorFlow takes seconds to import

SAMPLES = {"train": 40, "validation": 12, "test": 9}


def dense(units: int, activation: str | None) -> Any:
    import keras

    return keras.layers.Dense(units, activation)


def fn_build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    import keras

    last = dense(label_shape[0], hp["last"])
    return keras.Sequential([keras.layers.Input(features_shape), dense(4, "tanh"), last])


def fn_train(
    model: Any, loser: Any, optimizer: Any, x: Any, y: Any, eval_x: Any, eval_y: Any, **hp: Any
) -> Any:
    model.compile(loss=loser, optimizer=optimizer, metrics=["mse"])
    model.fit(x, y, validation_data=(eval_x, eval_y), epochs=2, batch_size=8, verbose=0)
    return model


def features(split: str) -> np.ndarray:
    return np.random.default_rng(SAMPLES[split]).normal(size=(SAMPLES[split], 3))


def make_spec(folder: Path, analysis_type: str, last: str, **changes: Any) -> JobSpec:
    edges = {"classification_binary": [0.0], "classification_multi": [-0.5, 0.5]}
    for split in SAMPLES:
        (folder / split).mkdir(exist_ok=True)
        np.save(folder / split / "feature_0.npy", features(split))
        np.save(folder / split / "label.npy", label(split, edges.get(analysis_type)))
    count = len(edges.get(analysis_type, [])) + 1
    user = {"fn_build": changes.pop("fn_build", fn_build), "fn_train": fn_train}
    roles = ("fn_build", "fn_train", "fn_predict", "fn_lose", "fn_optimize")
    values: dict[str, Any] = {
        "job_id": 1, "repeat_index": 0, "name": "job", "library": "keras",
        "analysis_type": analysis_type,
        "functions": {r: capture(r, user[r]).payload if r in user else None for r in roles},
        "hyperparameters": {"last": last}, "seed": 5,
        "samples": {split: str(folder / split) for split in SAMPLES},
        "key_train": "train", "key_evaluation": "validation", "feature_count": 1,
        "label": FittedLabel(("y",), None, tuple(range(count)) if count > 1 else None),
        "column_groups": ({"a": (0,), "bc": (1, 2)},), "permute_count": 2,
    }  # fmt: skip
    return JobSpec(**(values | changes))


def label(split: str, edges: list[float] | None) -> np.ndarray:
    total = features(split).sum(axis=1, keepdims=True)
    return total if edges is None else np.digitize(total, edges)


def trained(spec: JobSpec) -> Any:
    outcome = run(spec)
    assert outcome.failure is None, outcome.failure.traceback
    return outcome


@pytest.mark.parametrize(
    ("analysis_type", "last"),
    [
        ("classification_binary", "sigmoid"),
        ("classification_multi", "softmax"),
        ("regression", "linear"),
    ],
)
def test_every_analysis_is_scored_as_by_hand(
    tmp_path: Path, analysis_type: str, last: str
) -> None:
    spec = make_spec(tmp_path, analysis_type, last)
    outcome = trained(spec)
    assert sorted(outcome.history) == ["loss", "mse", "val_loss", "val_mse"]
    assert all(type(value) is float for values in outcome.history.values() for value in values)
    assert list(outcome.feature_importance[0]) == ["a", "bc"]
    assert {"keras", "tensorflow"} <= set(outcome.versions)
    model = load_model(
        "keras", spec.functions, outcome.model, (3,), outcome.label_shape, spec.hyperparameters
    )
    output = model.predict(features("test"), verbose=0)
    found, predicted = outcome.metrics["test"], outcome.predictions["test"]
    if analysis_type == "regression":
        assert predicted == pytest.approx(output[:, 0], abs=1e-5)
        expected = sk.mean_absolute_error(label("test", None), output)
    else:
        ordinal = output.argmax(axis=1) if output.shape[1] > 1 else output[:, 0] > 0.5
        assert predicted.tolist() == ordinal.astype(int).tolist()
        truth = np.load(tmp_path / "test" / "label.npy")[:, 0]
        chosen = output if output.shape[1] > 1 else np.hstack([1 - output, output])
        expected = -np.log(chosen[np.arange(len(truth)), truth]).mean()
    assert found["loss"] == pytest.approx(expected, abs=1e-5)


def test_the_same_seed_gives_the_same_in_another_process(tmp_path: Path) -> None:
    """B11, B64."""
    spec = make_spec(tmp_path, "classification_multi", "softmax")
    (tmp_path / "spec").write_bytes(pickle.dumps(spec))
    code = """
import pickle
from aiqc_core.stages.train.run import run
pickle.dump(run(pickle.load(open("spec", "rb"))), open("outcome", "wb"))
"""
    first, second = trained(spec), trained(spec)
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    elsewhere = pickle.loads((tmp_path / "outcome").read_bytes())  # noqa: S301
    for other in (second, elsewhere):
        assert np.array_equal(first.probabilities["test"], other.probabilities["test"])
        assert first.history == other.history


def test_a_model_goes_on_training_with_its_optimizers_state(tmp_path: Path) -> None:
    """B63: as if it had never been stored; a fresh optimizer would step elsewhere."""
    from aiqc_core.stages.train.backends.base import get_backend

    backend = get_backend("keras")
    spec = make_spec(tmp_path, "regression", "linear", permute_count=0)
    outcome = trained(spec)
    parts = ("keras", spec.functions, outcome.model, (3,), (1,), spec.hyperparameters)
    model, fresh = load_model(*parts), load_model(*parts)
    assert int(model.optimizer.iterations) == 2 * 5
    fresh.compile(loss=model.loss, optimizer=type(model.optimizer)(0.01))
    x, y = features("train"), label("train", None)
    model.train_on_batch(x, y)
    stored = backend.load(backend.save(model, None), lambda: None, lambda _: None)
    for each in (model, stored, fresh):
        each.train_on_batch(x, y)
    for unsaved, saved in zip(model.get_weights(), stored.get_weights(), strict=True):
        assert saved == pytest.approx(unsaved, abs=1e-5)
    kernel = model.get_weights()[0]
    assert np.abs(kernel - fresh.get_weights()[0]).max() > 1e-3


def test_a_model_with_a_layer_of_the_user_comes_back(tmp_path: Path) -> None:
    import keras

    class Doubled(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.inner = keras.layers.Dense(1)

        def call(self, x: Any) -> Any:
            return 2 * self.inner(x)

    def build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
        return keras.Sequential([keras.layers.Input(features_shape), Doubled()])

    spec = make_spec(tmp_path, "regression", "linear", fn_build=build, permute_count=0)
    outcome = trained(spec)
    model = load_model("keras", spec.functions, outcome.model, (3,), (1,), spec.hyperparameters)
    predicted = model.predict(features("test"), verbose=0)[:, 0]
    assert outcome.predictions["test"] == pytest.approx(predicted, abs=1e-5)
    assert int(model.optimizer.iterations) == 2 * 5


def test_a_model_that_could_not_be_loaded_again_is_reported(tmp_path: Path) -> None:
    import keras

    widths: list[int] = []

    def build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
        widths.append(1)  # another architecture each time
        first = keras.layers.Dense(len(widths))
        cut = keras.layers.Lambda(lambda x: x[:, :1])
        return keras.Sequential([keras.layers.Input(features_shape), first, cut])

    failure = run(make_spec(tmp_path, "regression", "linear", fn_build=build)).failure
    assert failure is not None
    assert failure.kind == "bad_result"
    assert "Return from fn_train the model that it was given" in failure.message
