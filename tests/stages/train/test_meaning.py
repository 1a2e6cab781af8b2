"""What a classifier's outputs mean, whatever their precision, framework and label."""
# ruff: noqa: ARG005 - arguments are those of the role

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import small_training
import torch
from torch import nn

from aiqc_core.stages.preprocess.pipeline import FittedLabel
from aiqc_core.stages.train import run
from aiqc_core.stages.train.backends.arrays import as_array
from aiqc_core.stages.train.outputs import are_distributions, precision

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MULTI = {
    "analysis_type": "classification_multi",
    "label": FittedLabel(("y",), None, (0, 1, 2)),
}


class Model(nn.Module):
    """Three inputs as they are, times 2, then a function."""

    def __init__(self, last: Callable[[torch.Tensor], torch.Tensor], width: int = 3) -> None:
        super().__init__()
        self.layer = nn.Linear(3, width)
        nn.init.eye_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)
        self.last = last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `(samples, width)`."""
        return self.last(2 * self.layer(x))


def untrained(model: Any, loser: Any, o: Any, x: Any, y: Any, a: Any, b: Any, **hp: Any) -> Any:
    return model


def outcome_of(folder: Path, build: Callable[[], Any], **changes: Any) -> Any:
    """Judge a model that is not trained; the labels are 0, 1 and, of several classes, 2."""
    found = run.run(
        small_training.make_spec(
            folder, fn_build=lambda *_, **hp: build(), fn_train=untrained, **changes
        )
    )
    assert found.failure is None, found.failure.traceback
    return found


def softmax_by_hand(split: str = "test") -> np.ndarray:
    powers = np.exp(2 * small_training.features(split))
    return powers / powers.sum(axis=1, keepdims=True)


def autocast(x: torch.Tensor) -> torch.Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return torch.softmax(x @ torch.eye(3), dim=1)


OF_SEVERAL: dict[str, tuple[Any, str, str, float]] = {
    "softmax": (nn.Softmax(dim=1), "probabilities", "last activation", 1e-6),
    "float16": (lambda x: torch.softmax(x.half(), 1), "probabilities", "last activation", 4e-3),
    "bfloat16": (
        lambda x: torch.softmax(x.bfloat16(), -1), "probabilities", "last activation", 3e-2,
    ),
    "cast back": (
        lambda x: torch.softmax(x.bfloat16(), 1).float(), "probabilities", "last activation", 3e-2,
    ),
    "autocast": (autocast, "probabilities", "last activation", 3e-2),
    "float64": (lambda x: torch.softmax(x.double(), 1), "probabilities", "last activation", 1e-6),
    "logits": (nn.Identity(), "logits", "values", 1e-6),
    "logarithms": (nn.LogSoftmax(dim=1), "log-probabilities", "last activation", 1e-6),
    "logarithm of softmax": (
        lambda x: torch.softmax(x, 1).log(), "log-probabilities", "last activation", 1e-6,
    ),
    "only values, float16": (
        lambda x: torch.softmax(x.half(), 1).detach(), "probabilities", "values", 4e-3,
    ),
    "a sum of softmaxes": (
        lambda x: (torch.softmax(x, 1) + torch.softmax(x, 1)) / 2, "probabilities", "values", 1e-6,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OF_SEVERAL)
def test_probabilities_are_what_the_model_says(tmp_path: Path, name: str) -> None:
    """A3: within the precision of its numbers, never through the softmax again."""
    last, kind, how, near = OF_SEVERAL[name]
    found = outcome_of(tmp_path, lambda: Model(last), **MULTI)
    expected = softmax_by_hand()
    assert found.outputs == {"kind": kind, "how": how}
    np.testing.assert_allclose(found.probabilities["test"], expected, atol=near)
    assert found.predictions["test"].tolist() == expected.argmax(axis=1).tolist()
    truth = small_training.label("test")[:, 0]
    loss = -np.log(np.maximum(expected[np.arange(len(truth)), truth], 1e-7)).mean()
    assert found.metrics["test"]["loss"] == pytest.approx(loss, rel=max(near * 10, 1e-4))
    guessed = "a guess" in found.metric_notes.get("train", {}).get("outputs", "")
    assert guessed == (how == "values" and kind == "probabilities")


def test_sigmoids_of_several_classes_are_divided_by_their_sum(tmp_path: Path) -> None:
    found = outcome_of(tmp_path, lambda: Model(nn.Sigmoid()), **MULTI)
    each = 1 / (1 + np.exp(-2 * small_training.features("test")))
    expected = each / each.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.probabilities["test"], expected, atol=1e-6)
    truth = small_training.label("test")[:, 0]
    loss = -np.log(expected[np.arange(len(truth)), truth]).mean()
    assert found.metrics["test"]["loss"] == pytest.approx(loss, rel=1e-4)


BINARY: dict[str, tuple[Any, Any, str]] = {
    "sigmoid": (torch.sigmoid, None, "last activation"),
    "bfloat16": (lambda x: torch.sigmoid(x.bfloat16()), None, "last activation"),
    "sigmoid and a loss over logits": (torch.sigmoid, nn.BCEWithLogitsLoss, "last activation"),
    "logits": (nn.Identity(), nn.BCEWithLogitsLoss, "loss"),
    "bfloat16 logits": (lambda x: x.bfloat16(), nn.BCEWithLogitsLoss, "loss"),
    "logarithms": (nn.LogSigmoid(), nn.MSELoss, "last activation"),
    "only values": (lambda x: torch.sigmoid(x).detach(), nn.MSELoss, "values"),
    "a slice, twice": (lambda x: torch.sigmoid(x)[:, :1], nn.BCEWithLogitsLoss, "last activation"),
    "a column, twice": (lambda x: torch.sigmoid(x)[:, 0], nn.BCEWithLogitsLoss, "last activation"),
    "joined, twice": (
        lambda x: torch.cat([torch.sigmoid(x[:7]), torch.sigmoid(x[7:])]),
        nn.BCEWithLogitsLoss, "last activation",
    ),
    "one of two classes, twice": (
        lambda x: torch.softmax(torch.cat([0 * x, x], 1), 1)[:, 1:], nn.BCEWithLogitsLoss,
        "last activation",
    ),
    "changed, twice": (lambda x: 1 - torch.sigmoid(-x), nn.BCEWithLogitsLoss, "values"),
    "a mean, twice": (
        lambda x: torch.stack([torch.sigmoid(x)] * 2).mean(0), nn.BCEWithLogitsLoss, "values",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BINARY)
def test_binary_probabilities_are_what_the_model_says(tmp_path: Path, name: str) -> None:
    last, lose, how = BINARY[name]
    losing = None if lose is None else lambda **hp: lose()
    found = outcome_of(tmp_path, lambda: Model(last, width=1), fn_lose=losing)
    expected = 1 / (1 + np.exp(-2 * small_training.features("test")[:, 0]))
    near = 3e-2 if "bfloat16" in name else 1e-6
    np.testing.assert_allclose(found.probabilities["test"], expected, atol=near)
    assert found.outputs["how"] == how
    notes = found.metric_notes.get("train", {}).get("outputs", "")
    again = name.endswith("twice") or name == "sigmoid and a loss over logits"
    assert ("applies it again" in notes) == again
    assert ("guess" in notes) == (how == "values" and not again)


@pytest.mark.parametrize(
    "change", [lambda p: p + 1e-3, lambda p: p.round(decimals=2), lambda p: 0.99 * p]
)
def test_changed_probabilities_are_divided_by_their_sum(tmp_path: Path, change: Any) -> None:
    """A3: they do not go through the softmax again; that is a guess, and said."""
    found = outcome_of(tmp_path, lambda: Model(lambda x: change(torch.softmax(x, 1))), **MULTI)
    expected = change(torch.tensor(softmax_by_hand())).numpy()
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.probabilities["test"], expected, atol=1e-4)
    assert "changed after it" in found.metric_notes["train"]["outputs"]


@pytest.mark.parametrize(
    ("last", "doubted"),
    [
        (lambda x: (torch.tanh(x) + 1) / 2, True),
        (lambda x: 10 * torch.sigmoid(x) - 5, False),
        (lambda x: x * torch.sigmoid(x), False),
    ],
)
def test_logits_that_look_like_probabilities_are_doubted(
    tmp_path: Path,
    last: Any,
    doubted: bool,  # noqa: FBT001
) -> None:
    given = {"fn_lose": lambda **hp: nn.BCEWithLogitsLoss()}
    found = outcome_of(tmp_path, lambda: Model(last, width=1), **given)
    assert found.outputs == {"kind": "logits", "how": "loss"}
    assert ("outputs" in found.metric_notes["train"]) == doubted


def test_stated_outputs_are_taken_at_their_word(tmp_path: Path) -> None:
    """The default loss and the probabilities follow them."""
    rows = nn.Softmax(dim=1)
    stated = outcome_of(tmp_path, lambda: Model(rows), outputs="logits", **MULTI)
    once = softmax_by_hand()
    again = np.exp(once) / np.exp(once).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(stated.probabilities["test"], again, atol=1e-6)
    truth = small_training.label("test")[:, 0]
    loss = -np.log(again[np.arange(len(truth)), truth]).mean()
    assert stated.metrics["test"]["loss"] == pytest.approx(loss, rel=1e-5)
    binary = outcome_of(tmp_path, lambda: Model(nn.Identity(), width=1), outputs="logits")
    expected = 1 / (1 + np.exp(-2 * small_training.features("test")[:, 0]))
    np.testing.assert_allclose(binary.probabilities["test"], expected, atol=1e-6)
    assert binary.outputs == {"kind": "logits", "how": "stated"}


def test_regressions_in_bfloat16_are_trained_and_scored(tmp_path: Path) -> None:
    """B2."""

    class Autocast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return self.layer(x)

    spec = small_training.make_spec(
        tmp_path, fn_build=lambda *_, **hp: Autocast(), analysis_type="regression",
        label=FittedLabel(("y",), None, None), permute_count=1,
    )  # fmt: skip
    found = run.run(spec)
    assert found.failure is None, found.failure.traceback
    model, _ = run.load_model("pytorch", spec.functions, found.model or b"", (3,), (1,), {})
    rows = torch.tensor(small_training.features("test"), dtype=torch.float32)
    expected = model(rows).float().detach().numpy()[:, 0]
    np.testing.assert_array_equal(found.predictions["test"], expected)


TENSORS: dict[str, Any] = {
    "bfloat16 with gradients": torch.ones(2, dtype=torch.bfloat16, requires_grad=True),
    "float16": torch.ones(2).half(),
    "float8": torch.ones(2).to(torch.float8_e4m3fn),
    "sparse": torch.ones(2).to_sparse(),
    "imaginary part of a conjugate": torch.full((2,), -1j).conj().imag,
    "a list of numbers in tensors": [torch.tensor(1.0, requires_grad=True)] * 2,
    "numbers": (1, 1.0),
}


@pytest.mark.parametrize("name", TENSORS)
def test_every_tensor_becomes_an_array(name: str) -> None:
    """B2."""
    found = as_array(TENSORS[name])
    assert found.tolist() == [1.0, 1.0]
    assert found.dtype.kind in "fi"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("classes", [2, 3, 100])
def test_softmaxes_of_every_precision_are_distributions(dtype: Any, classes: int) -> None:
    torch.manual_seed(classes)
    values = as_array(torch.softmax(3 * torch.randn(500, classes).to(dtype), dim=1))
    assert precision(values) == torch.finfo(dtype).eps
    assert are_distributions(values)
    assert not are_distributions(values * 1.1)
    assert not are_distributions(values - values.mean(axis=1, keepdims=True))


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float32", "float64"])
def test_keras_says_it_in_every_precision(tmp_path: Path, policy: str) -> None:
    """A3: `Dense(k, "softmax", dtype="mixed_float16")`, nested, cast, and as a function."""
    import keras

    layers = keras.layers

    def dense(activation: Any, **more: Any) -> Any:
        values: Any = 2 * np.eye(3)
        kernel: Any = keras.initializers.Constant(values)
        return layers.Dense(3, activation, kernel_initializer=kernel, dtype=policy, **more)

    def functional() -> Any:
        rows = layers.Input((3,))
        return keras.Model(rows, keras.ops.softmax(dense(None)(rows)))

    def cast() -> Any:
        last = layers.Activation("linear", dtype="float32")
        return keras.Sequential([layers.Input((3,)), dense("softmax"), last])

    def nested() -> Any:
        inner = keras.Sequential([dense(None), layers.Activation("softmax", dtype=policy)])
        return keras.Sequential([layers.Input((3,)), inner])

    near = {"mixed_float16": 4e-3, "mixed_bfloat16": 4e-2}.get(policy, 1e-5)
    for build in (functional, cast, nested):
        found = outcome_of(tmp_path, build, library="keras", **MULTI)
        assert found.outputs == {"kind": "probabilities", "how": "last activation"}
        np.testing.assert_allclose(found.probabilities["test"], softmax_by_hand(), atol=near)
        assert "outputs" not in found.metric_notes.get("train", {})


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["functional", "class"])
@pytest.mark.parametrize("last", ["slice", "stack", "clip", "less than 1"])
def test_keras_sees_a_sigmoid_behind_what_moves_or_changes_it(
    tmp_path: Path, kind: str, last: str
) -> None:
    """A3: the loss over logits applies the sigmoid again, and the note says it."""
    import keras

    ops = keras.ops
    then: Any = {
        "slice": lambda x: x[:, :1],
        "stack": lambda x: ops.stack([x[:, 0]], axis=1),
        "clip": lambda x: ops.clip(x, 0.0, 1.0),
        "less than 1": lambda x: 0.99 * x,
    }[last]

    class Sub(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.layer = keras.layers.Dense(1, "sigmoid")

        def call(self, x: Any) -> Any:
            return then(self.layer(x))

    def build() -> Any:
        rows = keras.layers.Input((3,))
        layer = keras.layers.Dense(1, "sigmoid")
        return Sub() if kind == "class" else keras.Model(rows, then(layer(rows)))

    def lose(**hp: Any) -> Any:
        return keras.losses.BinaryCrossentropy(from_logits=True)

    found = outcome_of(tmp_path, build, library="keras", fn_lose=lose)
    assert found.outputs["kind"] == "probabilities"
    assert "applies it again" in found.metric_notes["train"]["outputs"]
