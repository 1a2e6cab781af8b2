"""One training with PyTorch: from a specification and a folder of arrays to an outcome."""
# ruff: noqa: ARG005 - arguments are those of the role

from __future__ import annotations

import math
import pickle
import random
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import metrics as sk
from sklearn.preprocessing import LabelBinarizer, OneHotEncoder, StandardScaler
from torch import nn

from aiqc_core.stages.preprocess import encode
from aiqc_core.stages.preprocess.pipeline import FittedLabel
from aiqc_core.stages.train.functions.capture import capture
from aiqc_core.stages.train.run import JobSpec, load_model, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SAMPLES = {"train": 40, "validation": 12, "test": 9}
BINARY, MULTI, REGRESSION = "classification_binary", "classification_multi", "regression"
WORDS = ("down", "up")


def binary_build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    hidden = hp.get("neurons", 4)
    return nn.Sequential(
        nn.Linear(features_shape[0], hidden), nn.Tanh(), nn.Dropout(0.5),
        nn.Linear(hidden, label_shape[0]), nn.Sigmoid(),
    )  # fmt: skip


def linear_build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    return nn.Linear(features_shape[0], label_shape[0])


def plain_train(
    model: Any, loser: Any, optimizer: Any, x: Any, y: Any, eval_x: Any, eval_y: Any, **hp: Any
) -> Any:
    from aiqc_core.utils.pytorch import fit

    return fit(
        model, loser, optimizer, x, y, eval_x, eval_y, epochs=hp.get("epochs", 3), batch_size=8
    )


def features(split: str) -> np.ndarray:
    return np.random.default_rng(SAMPLES[split]).normal(size=(SAMPLES[split], 3))


def binary_label() -> tuple[FittedLabel, dict[str, np.ndarray]]:
    words = {s: np.where(features(s)[:, 0] > 0, "up", "down") for s in SAMPLES}
    coder = encode.fit(pd.DataFrame({"y": np.concatenate(list(words.values()))}), LabelBinarizer())
    encoded = {s: encode.apply(coder, pd.DataFrame({"y": w})) for s, w in words.items()}
    return FittedLabel(("y",), coder, WORDS), encoded


def multi_label(coder: Any) -> tuple[FittedLabel, dict[str, np.ndarray]]:
    codes = {s: np.digitize(features(s)[:, 0], [-0.5, 0.5]) for s in SAMPLES}
    if coder is None:
        return FittedLabel(("y",), None, (0, 1, 2)), {s: c[:, None] for s, c in codes.items()}
    fitted = encode.fit(pd.DataFrame({"y": [0, 1, 2]}), coder)
    encoded = {s: encode.apply(fitted, pd.DataFrame({"y": c})) for s, c in codes.items()}
    return FittedLabel(("y",), fitted, (0, 1, 2)), encoded


def regression_label(scaler: Any = None) -> tuple[FittedLabel, dict[str, np.ndarray]]:
    values = {s: features(s).sum(axis=1, keepdims=True) * 5 + 100 for s in SAMPLES}
    if scaler is None:
        return FittedLabel(("y",), None, None), values
    fitted = encode.fit(pd.DataFrame(values["train"], columns=["y"]), scaler)
    encoded = {s: encode.apply(fitted, pd.DataFrame(v, columns=["y"])) for s, v in values.items()}
    return FittedLabel(("y",), fitted, None), encoded


@pytest.fixture
def spec(tmp_path: Path) -> Callable[..., JobSpec]:
    """Return a function that writes a cache and makes a specification."""

    def make(
        analysis_type: str = BINARY,
        label: Any = None,
        *,
        feature_count: int = 1,
        hyperparameters: dict[str, Any] | None = None,
        **changes: Any,
    ) -> JobSpec:
        fitted, encoded = label or binary_label()
        for split in SAMPLES:
            (tmp_path / split).mkdir(exist_ok=True)
            np.save(tmp_path / split / "label.npy", encoded[split])
            for index in range(feature_count):
                np.save(tmp_path / split / f"feature_{index}.npy", features(split))
        build = binary_build if analysis_type == BINARY else linear_build
        given = {"fn_build": build, "fn_train": plain_train}
        roles = ("fn_build", "fn_train", "fn_predict", "fn_lose", "fn_optimize")
        user = {role: changes.pop(role, given.get(role)) for role in roles}
        values: dict[str, Any] = {
            "job_id": 1, "repeat_index": 0, "name": "job", "library": "pytorch",
            "analysis_type": analysis_type,
            "functions": {r: f and capture(r, f).payload for r, f in user.items()},
            "hyperparameters": hyperparameters or {}, "seed": 5,
            "samples": {split: str(tmp_path / split) for split in SAMPLES},
            "key_train": "train", "key_evaluation": "validation",
            "feature_count": feature_count, "label": fitted,
            "column_groups": ({"a": (0,), "b": (1,), "c": (2,)},) * feature_count,
            "permute_count": 0,
        }  # fmt: skip
        return JobSpec(**(values | changes))

    return make


def trained(spec: JobSpec) -> Any:
    outcome = run(spec)
    assert outcome.failure is None, outcome.failure.traceback
    return outcome


def failed(spec: JobSpec) -> Any:
    failure = run(spec).failure
    assert failure is not None
    return failure


def test_a_binary_outcome_is_whole_and_its_numbers_are_those_of_scikit_learn(spec: Any) -> None:
    """B28."""
    given = spec(permute_count=2, hyperparameters={"neurons": 5})
    outcome = trained(given)
    assert outcome.features_shapes == (3,)
    assert outcome.label_shape == (1,)
    assert sorted(outcome.history) == ["loss", "val_loss"]
    assert len(outcome.history["loss"]) == 3
    model, _ = load_model(
        "pytorch", given.functions, outcome.model, (3,), (1,), given.hyperparameters
    )
    for split, count in SAMPLES.items():
        with torch.no_grad():
            expected = model(torch.tensor(features(split), dtype=torch.float32))[:, 0].numpy()
        words = np.where(features(split)[:, 0] > 0, "up", "down")
        predicted, probabilities = outcome.predictions[split], outcome.probabilities[split]
        assert probabilities.shape == (count,)
        assert probabilities == pytest.approx(expected, abs=1e-6)
        assert predicted.tolist() == np.where(expected > 0.5, "up", "down").tolist()
        assert outcome.metrics[split] == pytest.approx({
            "accuracy": sk.accuracy_score(words, predicted),
            "f1": sk.f1_score(words, predicted, pos_label="up", zero_division=0),
            "loss": sk.log_loss(words == "up", expected),
            "precision": sk.precision_score(words, predicted, pos_label="up", zero_division=0),
            "recall": sk.recall_score(words, predicted, pos_label="up", zero_division=0),
            "roc_auc": sk.roc_auc_score(words == "up", expected),
        }, abs=1e-6)  # fmt: skip
        matrix = sk.confusion_matrix(words, predicted, labels=["down", "up"])
        assert outcome.plot_data[split]["confusion_matrix"] == matrix.tolist()
    losses = [values["loss"] for values in outcome.metrics.values()]
    assert outcome.metrics_aggregate["loss"]["mean"] == pytest.approx(np.mean(losses))
    assert list(outcome.feature_importance[0]) == ["a", "b", "c"]
    assert set(outcome.seconds) == {"load", "build", "train", "evaluate", "permute", "save"}
    assert outcome.time_started.tzinfo is not None
    assert outcome.time_succeeded >= outcome.time_started
    assert outcome.peak_memory_mb > 10
    assert outcome.versions["torch"] == torch.__version__.split("+")[0] or (
        outcome.versions["torch"] == torch.__version__
    )
    assert not outcome.diverged
    assert pickle.loads(pickle.dumps(outcome)).metrics == outcome.metrics  # noqa: S301


@pytest.mark.slow
def test_it_runs_in_a_fresh_process_and_gives_the_same(spec: Any, tmp_path: Path) -> None:
    """B11, B64: neither this module nor its state is needed."""
    given = spec(hyperparameters={"neurons": 5})
    torch.rand(7)  # another state of the generators than a new process has
    here = trained(given)
    (tmp_path / "spec").write_bytes(pickle.dumps(given))
    code = """
import pickle, sys
from aiqc_core.stages.train.run import run
outcome = run(pickle.load(open("spec", "rb")))
assert "test_runner" not in " ".join(sys.modules)
pickle.dump(outcome, open("outcome", "wb"))
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    there = pickle.loads((tmp_path / "outcome").read_bytes())  # noqa: S301
    assert there.failure is None
    for split in SAMPLES:
        assert np.array_equal(here.probabilities[split], there.probabilities[split])
    assert here.history == there.history


def test_seeds_repeat_and_differ(spec: Any) -> None:
    """B64."""
    first, again, other = (trained(spec(seed=seed)).probabilities["test"] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_state_of_the_caller_is_left_as_it_was(spec: Any) -> None:
    threads = torch.get_num_threads()
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    trained(spec(threads=2 if threads == 1 else 1))
    failed(spec(fn_train=raising(KeyError("gone"))))
    assert torch.get_num_threads() == threads
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


@pytest.mark.parametrize("coder", [None, OneHotEncoder()])
@pytest.mark.parametrize("ending", [nn.Identity, nn.Softmax])
def test_several_classes_from_probabilities_or_logits(
    spec: Any, coder: Any, ending: type[nn.Module]
) -> None:
    def build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
        last = ending() if ending is nn.Identity else ending(dim=1)
        return nn.Sequential(nn.Linear(features_shape[0], label_shape[0]), last)

    outcome = trained(spec(MULTI, multi_label(coder), fn_build=build))
    assert outcome.label_shape == (3,)
    for split, count in SAMPLES.items():
        truth = np.digitize(features(split)[:, 0], [-0.5, 0.5])
        probabilities = outcome.probabilities[split]
        assert probabilities.shape == (count, 3)
        assert probabilities.sum(axis=1) == pytest.approx(np.ones(count))
        assert outcome.predictions[split].tolist() == probabilities.argmax(axis=1).tolist()
        loss = -np.log(probabilities[np.arange(count), truth]).mean()
        assert outcome.metrics[split]["loss"] == pytest.approx(loss, abs=1e-5)


def test_a_regression_is_scored_encoded_and_decoded(spec: Any) -> None:
    label = regression_label(StandardScaler())
    outcome = trained(spec(REGRESSION, label))
    assert outcome.probabilities is None
    for split, count in SAMPLES.items():
        assert outcome.predictions[split].shape == (count,)
        original = features(split).sum(axis=1) * 5 + 100
        found = outcome.metrics[split]
        assert found["r2_decoded"] == pytest.approx(
            sk.r2_score(original, outcome.predictions[split])
        )
        assert found["r2"] == pytest.approx(found["r2_decoded"])  # a scaler is linear
        assert found["loss"] == pytest.approx(found["mae"])  # the default loss
    plain = trained(spec(REGRESSION, regression_label()))
    assert "r2_decoded" not in plain.metrics["test"]


def test_the_users_loss_optimizer_and_prediction_are_used(spec: Any) -> None:
    def lose(**hp: Any) -> Any:
        return nn.MSELoss()

    def optimize(model: Any, **hp: Any) -> Any:
        return torch.optim.SGD(model.parameters(), lr=hp["rate"])

    def predict(model: Any, x: Any) -> Any:
        assert not model.training
        assert not torch.is_grad_enabled()
        probabilities = model(x)
        return (probabilities > 0.9).int(), probabilities

    outcome = trained(
        spec(fn_lose=lose, fn_optimize=optimize, fn_predict=predict, hyperparameters={"rate": 0.0})
    )
    assert len(set(outcome.history["loss"])) == 1  # a rate of 0 learns nothing
    expected = np.where(outcome.probabilities["test"] > 0.9, "up", "down")
    assert outcome.predictions["test"].tolist() == expected.tolist()
    truth = features("test")[:, 0] > 0
    brier = sk.brier_score_loss(truth, outcome.probabilities["test"])
    assert outcome.metrics["test"]["loss"] == pytest.approx(brier, abs=1e-6)


def test_an_optimizer_may_come_as_a_function_of_parameters(spec: Any) -> None:
    def optimize(**hp: Any) -> Any:
        return lambda parameters: torch.optim.Adam(parameters, lr=0.5)

    given = spec(fn_optimize=optimize)
    _, optimizer = load_model("pytorch", given.functions, trained(given).model, (3,), (1,), {})
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_logits_with_their_loss_are_turned_into_probabilities(spec: Any) -> None:
    outcome = trained(spec(fn_build=linear_build, fn_lose=lambda **hp: nn.BCEWithLogitsLoss()))
    truth = features("test")[:, 0] > 0
    expected = sk.log_loss(truth, outcome.probabilities["test"])
    assert outcome.metrics["test"]["loss"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
def test_a_model_comes_back_with_its_optimizers_state(spec: Any, tmp_path: Path) -> None:
    """B60, in a new process."""
    given = spec()
    outcome = trained(given)
    parts = ("pytorch", given.functions, outcome.model, (3,), (1,), {})
    (tmp_path / "parts").write_bytes(pickle.dumps(parts))
    np.save(tmp_path / "x.npy", features("test").astype(np.float32))
    code = """
import pickle, numpy, torch
from aiqc_core.stages.train.run import load_model
model, optimizer = load_model(*pickle.load(open("parts", "rb")))
assert not model.training
assert len(optimizer.state_dict()["state"]) == 4
with torch.no_grad():
    numpy.save("p.npy", model(torch.from_numpy(numpy.load("x.npy"))).numpy())
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert np.load(tmp_path / "p.npy")[:, 0] == pytest.approx(outcome.probabilities["test"])


def test_several_features_come_as_a_list(spec: Any) -> None:
    class Two(nn.Module):
        def __init__(self, shapes: Any) -> None:
            super().__init__()
            self.linear = nn.Linear(shapes[0][0] + shapes[1][0], 1)

        def forward(self, one: Any, two: Any) -> Any:
            return torch.sigmoid(self.linear(torch.cat([one, two], dim=1)))

    def build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
        return Two(features_shape)

    def predict(model: Any, x: Any) -> Any:
        probabilities = model(*x)
        return probabilities > 0.5, probabilities

    groups = ({"a": (0,), "bc": (1, 2)}, None)
    shared = {"feature_count": 2, "fn_build": build, "permute_count": 1, "column_groups": groups}
    outcome = trained(spec(**shared))
    assert outcome.features_shapes == [(3,), (3,)]
    assert list(outcome.feature_importance) == [0]
    assert list(outcome.feature_importance[0]) == ["a", "bc"]
    again = trained(spec(**shared, fn_predict=predict))
    assert np.array_equal(again.probabilities["test"], outcome.probabilities["test"])


def test_no_evaluation_split_gives_none(spec: Any) -> None:
    def train(
        model: Any, loser: Any, optimizer: Any, x: Any, y: Any, a: Any, b: Any, **hp: Any
    ) -> Any:
        assert a is None
        assert b is None
        return model

    given = spec(key_evaluation=None, fn_train=train)
    assert trained(given).history == {}


@pytest.mark.parametrize(
    "history",
    [
        {"loss": [np.float32(0.5)], "val_loss": np.array([0.4], "float32")},
        {"loss": [torch.tensor(0.5, requires_grad=True)], "val_loss": torch.tensor([0.4])},
        {"loss": (0.5,), "val_loss": np.float64(0.4)},
        {"loss": [np.array([0.5])], "val_loss": [np.array(0.4)]},
    ],
)
@pytest.mark.parametrize("model_first", [True, False])
def test_history_is_stored_as_plain_numbers(
    spec: Any, history: dict[str, Any], *, model_first: bool
) -> None:
    """B04."""

    def train(model: Any, loser: Any, o: Any, x: Any, y: Any, a: Any, b: Any, **hp: Any) -> Any:
        return (model, history) if model_first else (history, model)

    found = trained(spec(fn_train=train)).history
    assert found == {"loss": [0.5], "val_loss": [pytest.approx(0.4)]}
    assert all(type(value) is float for values in found.values() for value in values)


def returning(value: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return an fn_train that returns something made of the model."""

    def train(model: Any, loser: Any, o: Any, x: Any, y: Any, a: Any, b: Any, **hp: Any) -> Any:
        return value(model)

    return train


@pytest.mark.parametrize(
    ("value", "reported"),
    [
        (lambda model: None, "returned None; return the model"),
        (lambda model: 3, r"returned \['int'\]"),
        (lambda model: (model, model), "returned"),
        (lambda model: (model, [1.0]), "returned"),
        (lambda model: ({"loss": ["low"]}, model), r"history\['loss'\] holds \['low'\]"),
        (lambda model: ({"loss": [[1.0, 2.0]]}, model), "history"),
        (
            lambda model: nn.Sequential(nn.Linear(3, 1), nn.Sigmoid()),
            "Return from fn_train the model that it was given",
        ),
    ],
)
def test_what_is_no_trained_model_is_reported(spec: Any, value: Any, reported: str) -> None:
    """A09."""
    failure = failed(spec(fn_train=returning(value)))
    assert failure.kind == "bad_result", failure
    assert re.search(reported, failure.message), failure.message


def raising(error: BaseException) -> Callable[..., Any]:
    """Return an fn_train that raises."""

    def train(model: Any, loser: Any, o: Any, x: Any, y: Any, a: Any, b: Any, **hp: Any) -> Any:
        raise error

    return train


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (KeyError("gone"), "exception"),
        (SystemExit(0), "exit"),
        (MemoryError(), "out_of_memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), "out_of_memory"),
        (torch.cuda.OutOfMemoryError("CUDA"), "out_of_memory"),
    ],
)
def test_a_failure_is_recorded_with_its_kind_and_hyperparameters(
    spec: Any, error: BaseException, kind: str
) -> None:
    """B14, A09."""
    failure = failed(spec(fn_train=raising(error), hyperparameters={"batch": 999}))
    assert failure.kind == kind
    assert "batch=999" in failure.message
    assert "in train\n" in failure.traceback


def test_a_keyboard_interrupt_passes(spec: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(spec(fn_train=raising(KeyboardInterrupt())))


def test_a_missing_cache_or_library_is_a_failure(spec: Any) -> None:
    assert "cache_samples" in failed(spec(samples={"train": "nowhere"})).message
    assert "'sklearn' is none of" in failed(spec(library="sklearn")).message


def test_functions_that_change_their_arrays_change_nothing_else(spec: Any, tmp_path: Path) -> None:
    """A09: neither the cache nor what the model is judged on."""

    def train(model: Any, loser: Any, o: Any, x: Any, y: Any, a: Any, b: Any, **hp: Any) -> Any:
        if hp["mutate"]:
            for array in (x, y, a, b):
                array.mul_(0)
        return model

    files = {path: path.read_bytes() for path in tmp_path.rglob("*.npy")}
    left = trained(spec(fn_train=train, hyperparameters={"mutate": False}))
    changed = trained(spec(fn_train=train, hyperparameters={"mutate": True}))
    assert all(path.read_bytes() == content for path, content in files.items())
    assert left.metrics == changed.metrics


def test_a_diverged_model_is_a_result(spec: Any) -> None:
    def build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
        model = nn.Sequential(nn.Linear(features_shape[0], label_shape[0]))
        nn.init.constant_(model[0].weight, float("nan"))
        return nn.Sequential(model, nn.Sigmoid()) if hp["sigmoid"] else model

    for analysis_type, label, sigmoid in (
        (BINARY, binary_label(), True),
        (MULTI, multi_label(None), False),
        (REGRESSION, regression_label(StandardScaler()), False),
    ):
        given = spec(analysis_type, label, fn_build=build, hyperparameters={"sigmoid": sigmoid})
        outcome = trained(given)
        assert outcome.diverged
        assert math.isnan(outcome.metrics["test"]["loss"])
        assert outcome.metric_notes["test"]["loss"]
        assert math.isnan(outcome.metrics_aggregate["loss"]["mean"])
        assert math.isnan(outcome.history["loss"][0])
        assert len(outcome.predictions["test"]) == SAMPLES["test"]


@pytest.mark.parametrize(
    ("predict", "reported"),
    [
        (lambda model, x: model(x), "return (predictions, probabilities)"),
        (lambda model, x: (model(x), model(x)), "not ordinal classes"),
        (lambda model, x: (model(x) > 0.5, model(x) + 2), "not in [0, 1]"),
    ],
)
def test_predictions_are_checked(spec: Any, predict: Any, reported: str) -> None:
    failure = failed(spec(fn_predict=predict))
    assert (failure.kind, reported in failure.message) == ("bad_result", True), failure


def test_a_binary_model_without_sigmoid_is_reported_as_such(spec: Any) -> None:
    failure = failed(spec(fn_build=linear_build, fn_lose=lambda **hp: nn.MSELoss()))
    assert "sigmoid" in failure.message


def test_a_label_in_a_coding_that_tells_no_class_fails_before_training(spec: Any) -> None:
    fitted, encoded = binary_label()
    wrong = {split: values * 2 - 1 for split, values in encoded.items()}
    failure = failed(spec(BINARY, (fitted, wrong), fn_train=raising(KeyError("trained"))))
    assert "neither one-hot nor the codes 0…1" in failure.message


def test_one_row_and_an_absent_class_give_nan_with_a_reason(spec: Any) -> None:
    fitted, encoded = binary_label()
    ones = dict.fromkeys(encoded, None) | encoded | {"test": np.ones_like(encoded["test"])}
    outcome = trained(spec(BINARY, (fitted, ones)))
    assert math.isnan(outcome.metrics["test"]["roc_auc"])
    assert "no sample" in outcome.metric_notes["test"]["roc_auc"]
