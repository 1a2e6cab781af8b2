"""The model that is stored is the model that was scored, and what cannot be is refused early."""
# ruff: noqa: ARG005, D102 - arguments are those of the role; forwards say themselves

from __future__ import annotations

import copy
import os
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import small_training
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.optim import swa_utils

from aiqc_core.stages.train import run, storing
from aiqc_core.stages.train.backends.arrays import as_array
from aiqc_core.stages.train.backends.torch import saving
from aiqc_core.stages.train.functions.capture import capture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Net(nn.Module):
    """Two layers and, beside its state_dict, a factor."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.last = nn.Linear(3, 4), nn.Sequential(nn.Linear(4, 1))
        self.scale = 1.0
        self.register_buffer("shift", torch.zeros(1), persistent=False)
        self.later: list[nn.Module] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.hidden(x).tanh()
        for each in self.later:
            x = each(x)
        gain = self.scale * float(os.environ.get("GAIN", "1")) * getattr(torch, "gain", 1.0)
        return torch.sigmoid(gain * self.last(x) + self.shift)


class Wrapper(nn.Module):
    """Passes on what the model inside gives, under another prefix, times a constant."""

    def __init__(self, inner: nn.Module, factor: float = 1.0) -> None:
        super().__init__()
        self.inside, self.factor = inner, factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * self.inside(x)


def build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    return Net()


def trained_by(change: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return an fn_train of three epochs that returns what `change` gives of the model."""

    def train(model: Any, loser: Any, o: Any, x: Any, y: Any, a: Any, b: Any, **hp: Any) -> Any:
        from aiqc_core.utils.pytorch import fit

        history, model = fit(model, loser, o, x, y, a, b, epochs=3, batch_size=8)
        returned = change(model)
        return history, model if returned is None else returned

    return train


def never(model: Any, loser: Any, o: Any, x: Any, y: Any, a: Any, b: Any, **hp: Any) -> Any:
    message = "training began"
    raise AssertionError(message)


def spec_of(folder: Path, change: Callable[[Any], Any] | None = None, **changes: Any) -> Any:
    given: dict[str, Any] = {"fn_build": build} | (
        {} if change is None else {"fn_train": trained_by(change)}
    )
    return small_training.make_spec(folder, **(given | changes))


def scored(outcome: Any) -> np.ndarray:
    return outcome.probabilities["test"]


def reloaded(spec: Any, outcome: Any) -> np.ndarray:
    assert outcome.failure is None, outcome.failure.traceback
    model, _ = run.load_model(
        spec.library, spec.functions, outcome.model, (3,), (1,), {}, seed=spec.seed
    )
    rows = torch.tensor(small_training.features("test"), dtype=torch.float32)
    return model(rows).detach().float().numpy()[:, 0]


def attribute(model: Any) -> None:
    model.scale = -5.0


def threshold(model: Any) -> None:
    model.threshold = 0.9


def buffer(model: Any) -> None:
    model.shift += 3


def class_attribute(model: Any) -> None:
    type(model).forward = lambda self, x: torch.sigmoid(5 - self.last(self.hidden(x)))


def layer(model: Any) -> None:
    model.last.append(nn.Tanh())


def environment(model: Any) -> None:
    os.environ["GAIN"] = "5"


def of_torch(model: Any) -> None:
    torch.gain = 5.0  # type: ignore[attr-defined]


def list_of_layers(model: Any) -> None:
    model.later.append(nn.Tanh())


def replaced(model: Any) -> None:
    model.hidden.forward = lambda x: x.sum(dim=1, keepdim=True).expand(-1, 4)


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        (attribute, "attribute 'scale' (1.0, trained -5.0)"),
        (buffer, "buffer 'shift', registered with persistent=False"),
        (list_of_layers, "attribute 'later'"),
        (replaced, "attribute 'forward' (set in training) of 'hidden'"),
        (class_attribute, "its class"),
        (lambda model: Wrapper(model, 0.5), "layer 'inside' (Net, put there in training)"),
        (environment, "os.environ['GAIN'] (set in training)"),
        (of_torch, "torch.gain (set in training)"),
        (layer, "layer 'last.1' (Tanh, put there in training)"),
    ],
)
def test_state_that_would_be_lost_fails_the_job(
    tmp_path: Path, change: Any, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A7: by name, with what to do."""
    monkeypatch.setattr(Net, "forward", Net.forward)  # as it is after the test
    failure = run.run(spec_of(tmp_path, change)).failure
    assert failure is not None
    assert failure.kind == "bad_result"
    assert "is not the one that was scored: loaded again, it predicts" in failure.message
    assert lost in failure.message
    assert ("Make all layers in fn_build" in failure.message) == lost.startswith("layer ")
    assert ("GAIN" in os.environ, hasattr(torch, "gain")) == (False, False)


def test_state_that_only_fn_predict_uses_would_be_lost_too(tmp_path: Path) -> None:
    def predict(model: Any, x: Any) -> Any:
        sure = model(x)
        return sure > model.threshold, sure

    found = run.run(spec_of(tmp_path, threshold, fn_predict=predict))
    assert found.failure is not None
    assert "'threshold' (set in training)" in found.failure.message


def test_what_was_trained_is_kept_where_storing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing trained is lost because something after training failed."""
    monkeypatch.setenv("AIQC_HOME", str(tmp_path / "home"))
    spec = spec_of(tmp_path, attribute, checkpoint=str(tmp_path / "kept"))
    failure = run.run(spec).failure
    assert failure is not None
    (file,) = (tmp_path / "home" / "spill").iterdir()
    assert str(file) in failure.message
    assert sorted(torch.load(file, weights_only=True)) == sorted(Net().state_dict())


def averaged(model: Any) -> Any:
    mean = swa_utils.AveragedModel(model)
    mean.update_parameters(model)
    with torch.no_grad():
        model.last[0].weight.zero_()  # what is scored is the average
    return mean


def pruned(model: Any) -> None:
    prune.l1_unstructured(model.hidden, "weight", amount=0.5)
    prune.random_unstructured(model.last[0], "weight", amount=0.25)


def with_normed_weights(model: Any) -> None:
    parametrizations.weight_norm(model.hidden)
    with torch.no_grad():
        model.hidden.parametrizations.weight.original0.mul_(2)


OTHER_MODULES: dict[str, Any] = {
    "compiled": lambda model: torch.compile(model, backend="eager"),
    "data parallel": nn.DataParallel,
    "a wrapper": Wrapper,
    "two wrappers": lambda model: Wrapper(nn.Sequential(model)),
    "a copy": copy.deepcopy,
    "averaged": averaged,
    "pruned": pruned,
    "with normed weights": with_normed_weights,
    "in half precision": lambda model: model.half(),
    "scripted": torch.jit.script,
}


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("name", OTHER_MODULES)
def test_modules_around_the_model_are_stored_as_the_model(tmp_path: Path, name: str) -> None:
    """B1: whatever names stand before those of the weights."""
    plain: Any = lambda *_, **hp: nn.Sequential(nn.Linear(3, 1), nn.Sigmoid())  # noqa: E731
    spec = spec_of(
        tmp_path, OTHER_MODULES[name], **({"fn_build": plain} if name == "scripted" else {})
    )
    outcome = run.run(spec)
    found = reloaded(spec, outcome)
    near = 2e-3 if name == "in half precision" else 1e-6
    np.testing.assert_allclose(found, scored(outcome), atol=near)
    assert np.ptp(found) > 1e-3


def test_a_model_that_grew_names_what_is_new(tmp_path: Path) -> None:
    more = spec_of(tmp_path, lambda model: nn.Sequential(model, nn.Linear(1, 1), nn.Sigmoid()))
    grown = run.run(more).failure
    assert grown is not None
    assert "Return from fn_train the model that it was given" in grown.message
    assert "1.weight" in grown.message


ARRAY: Any = np.array(1e-3)
NUMBERS: dict[str, Any] = {
    "numpy": lambda p: torch.optim.Adam(p, lr=np.sqrt(64) * 1e-3, betas=(np.float64(0.9), 0.99)),
    "arrays": lambda p: torch.optim.Adam([{"params": p, "tag": np.arange(3)}], lr=ARRAY),
    "decimals": lambda p: torch.optim.SGD([{"params": p, "note": Decimal("0.5")}], lr=1e-3),
    "a tensor": lambda p: torch.optim.Adam(p, lr=torch.tensor(1e-3)),
    "a schedule": lambda p: scheduled(torch.optim.SGD(p, lr=np.float64(0.1))),
    "LBFGS": lambda p: torch.optim.LBFGS(p, max_iter=3),
}


def scheduled(optimizer: Any) -> Any:
    torch.optim.lr_scheduler.ExponentialLR(optimizer, np.float64(0.9))
    return optimizer


@pytest.mark.parametrize("name", NUMBERS)
def test_optimizers_with_any_numbers_are_stored(tmp_path: Path, name: str) -> None:
    """B3: as Python's numbers, which load without code. D6: LBFGS gets its closure."""
    make = NUMBERS[name]
    spec = spec_of(tmp_path, fn_optimize=lambda model, **hp: make(list(model.parameters())))
    outcome = run.run(spec)
    np.testing.assert_allclose(reloaded(spec, outcome), scored(outcome), atol=1e-6)
    _, optimizer = run.load_model("pytorch", spec.functions, outcome.model or b"", (3,), (1,), {})
    (group,) = optimizer.param_groups
    kinds = {type(value) for name, value in group.items() if name != "params"}
    assert not [kind for kind in kinds if kind.__module__ in {"numpy", "decimal"}]


class Lazy(nn.Module):
    """Makes its layer when it is first called."""

    def __init__(self) -> None:
        super().__init__()
        self.layer: Any = None
        self.first = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.layer is None:
            self.layer = nn.Linear(3, 1)
        return torch.sigmoid(self.layer(self.first(x)))


class Given(nn.Module):
    """A linear layer, then any function."""

    def __init__(self, then: Any, first: Any = None) -> None:
        super().__init__()
        self.first, self.then = first or nn.Linear(3, 1), then

    def forward(self, x: torch.Tensor) -> Any:
        return self.then(self.first(x))


class WithExtra(nn.Module):
    """Stores an object beside its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def get_extra_state(self) -> Any:
        return {"scale": object()}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.layer(x))


def of_unseeded_numbers() -> Any:
    matrix = torch.tensor(np.random.default_rng().normal(size=1), dtype=torch.float32)
    return Given(lambda x: torch.sigmoid(x * matrix * 100 + 1))


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "parameters made late": (Lazy, "makes layer.weight, layer.bias when it is first called"),
    "an object in its state": (WithExtra, "holds object"),
    "numbers drawn again": (of_unseeded_numbers, "saved and loaded again predicts"),
    "an LSTM": (lambda: nn.LSTM(3, 1), "the model (LSTM) gives a tuple of 2"),
    "a dict": (lambda: Given(lambda x: {"logits": x}), "gives a dict with ['logits']"),
    "a list": (lambda: Given(lambda x: [x]), "gives a list of 1"),
    "nothing": (lambda: Given(lambda x: None), "gives None"),
    "complex numbers": (lambda: Given(torch.fft.fft), "gives complex numbers"),
    "an array": (lambda: Given(lambda x: x.detach().numpy()), "gives ndarray"),
    "a number": (lambda: Given(torch.mean), "gives a single number for 4 samples"),
    "fewer rows": (lambda: Given(lambda x: x[1:]), "gives outputs (3, 1) for 4 samples"),
    "an embedding": (lambda: nn.Embedding(9, 1), "Features come as float32; call .long()"),
    "another width": (lambda: Given(torch.sigmoid, nn.Linear(7, 1)), "features (4, 3): mat1 and"),
    "a convolution": (lambda: nn.Conv1d(3, 1, 2), "x.unsqueeze(1), one channel"),
    "a convolution before a lazy layer": (
        lambda: nn.Sequential(nn.Conv1d(1, 1, 2), nn.LazyLinear(1)),
        "x.unsqueeze(1), one channel",
    ),
    "norms of another width": (lambda: nn.LayerNorm(5), "nn.Linear(features_shape[0]"),
    "attention": (lambda: nn.MultiheadAttention(3, 1), "a layer that takes more needs a module"),
    "attention of another width": (
        lambda: Given(lambda x: nn.MultiheadAttention(4, 1)(x, x, x)),
        "features_shape",
    ),
    "no forward": (lambda: nn.ModuleList([nn.Linear(3, 1)]), "Give the model a forward"),
    "float8": (lambda: nn.Linear(3, 1).to(torch.float8_e4m3fn), "leave the model in float32"),
    "no weights": (nn.Identity, "has no weights to learn"),
    "half in part": (
        lambda: Given(nn.Sequential(nn.Linear(1, 1).half(), nn.Sigmoid())),
        "convert in forward",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_stored_or_asked_is_refused_before_training(
    tmp_path: Path, name: str
) -> None:
    """B4, D6."""
    make, hint = REFUSED[name]
    found = run.run(spec_of(tmp_path, fn_build=lambda *_, **hp: make(), fn_train=never)).failure
    assert found is not None
    assert hint in found.message
    assert found.kind == ("exception" if name == "no weights" else "bad_result")


def frozen() -> Any:
    return Given(torch.sigmoid).requires_grad_(False)


LEARNS_NOTHING: dict[str, tuple[dict[str, Any], str]] = {
    "the class of a loss": ({"fn_lose": lambda **hp: nn.BCELoss}, "returned the class BCELoss"),
    "no loss": ({"fn_lose": lambda **hp: None}, "fn_lose: returned None; return the loss"),
    "the name of a loss": ({"fn_lose": lambda **hp: "mse"}, "fn_lose: returned 'mse'"),
    "a float": ({"fn_lose": lambda **hp: lambda o, y: 0.5}, "gives float. Let it return a tensor"),
    "a pair": ({"fn_lose": lambda **hp: lambda o, y: (o.mean(), 1)}, "gives tuple. Let it"),
    "a loss of three": ({"fn_lose": lambda **hp: nn.TripletMarginLoss()}, "called with (output"),
    "a loss a sample": (
        {"fn_lose": lambda **hp: nn.BCELoss(reduction="none")}, "leave out reduction='none'",
    ),
    "classes": ({"fn_build": lambda *_, **hp: Given(lambda x: x > 0)}, "as argmax and > do"),
    "frozen weights": ({"fn_build": lambda *_, **hp: frozen()}, "requires_grad=False"),
    "no numbers": ({"fn_build": lambda *_, **hp: Net().to("meta")}, "Make it on the CPU"),
}  # fmt: skip


@pytest.mark.parametrize("name", LEARNS_NOTHING)
def test_what_gives_no_gradient_is_said_with_what_to_do(tmp_path: Path, name: str) -> None:
    """D6."""
    changes, hint = LEARNS_NOTHING[name]
    found = run.run(small_training.make_spec(tmp_path, **({"fn_build": build} | changes)))
    assert found.failure is not None
    assert hint in found.failure.message


def returning(change: Callable[..., Any], epochs: int = 20) -> Callable[..., Any]:
    """Return an fn_train that returns what `change` makes of the model, trained on both sides."""

    def train(model: Any, loser: Any, o: Any, x: Any, y: Any, a: Any, b: Any, **hp: Any) -> Any:
        from aiqc_core.utils.pytorch import fit

        def go_on(model: Any, optimizer: Any = o) -> Any:
            return fit(model, loser, optimizer, x, y, None, None, epochs=epochs)[1]

        return change(model, go_on)

    return train


def trained_beside(model: Any, go_on: Any) -> Any:
    other = Net()
    go_on(other, torch.optim.Adam(other.parameters(), 0.1))
    other.zero_grad()
    return other


def best_of_all(model: Any, go_on: Any) -> Any:
    best = copy.deepcopy(go_on(model))
    go_on(model)
    return best


def loaded_into_another(model: Any, go_on: Any) -> Any:
    other = Net()
    other.load_state_dict(go_on(model).state_dict())
    return other


def another_optimizer(**hp: Any) -> Any:
    return torch.optim.Adam(Net().parameters(), 0.1)


@pytest.mark.parametrize(
    ("change", "optimize", "said"),
    [
        (lambda model, go_on: go_on(model), another_optimizer, "no weight of the model moved"),
        (lambda model, go_on: model, None, "no weight of the model moved"),
        (lambda model, go_on: copy.deepcopy(model), None, "no weight of the model moved"),
        (lambda model, go_on: (go_on(model), Net())[1], None, "returns another model"),
        (lambda model, go_on: Net(), None, "returns another model"),
        (lambda model, go_on: go_on(model), None, ""),
        (lambda model, go_on: copy.deepcopy(go_on(model)), None, ""),
        (best_of_all, None, ""),
        (loaded_into_another, None, ""),
        (trained_beside, None, ""),
    ],
)
def test_a_model_that_nothing_trained_is_noted(
    tmp_path: Path, change: Any, optimize: Any, said: str
) -> None:
    """D6: it is stored as it was scored, and the note says that it learned nothing."""
    outcome = run.run(spec_of(tmp_path, fn_train=returning(change), fn_optimize=optimize))
    assert outcome.failure is None, outcome.failure.traceback
    found = outcome.metric_notes.get("train", {}).get("weights", "")
    assert (said in found, bool(found)) == (True, bool(said))


SOUND: dict[str, Callable[[], Any]] = {
    "lazy layers": lambda: nn.Sequential(
        nn.LazyLinear(4), nn.LazyBatchNorm1d(), nn.LazyLinear(1), nn.Sigmoid()
    ),
    "float64": lambda: Given(torch.sigmoid).double(),
    "bfloat16": lambda: Given(torch.sigmoid).bfloat16(),
    "sparse": lambda: Given(lambda x: torch.sigmoid(x).to_sparse()),
    "float16": lambda: Given(torch.sigmoid).half(),
    "float16 of a recurrent layer": lambda: Last().half(),
    "normed weights": lambda: nn.Sequential(
        parametrizations.spectral_norm(nn.Linear(3, 4)),
        parametrizations.weight_norm(nn.Linear(4, 1)), nn.Sigmoid(),
    ),
    "pruned": lambda: nn.Sequential(
        prune.random_unstructured(nn.Linear(3, 4), "weight", 0.5), nn.Linear(4, 1), nn.Sigmoid()
    ),
    "batch norm and dropout": lambda: nn.Sequential(
        nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1), nn.Sigmoid()
    ),
    "compiled": lambda: torch.compile(Given(torch.sigmoid), backend="eager"),
    "no parameters": lambda: Given(lambda x: torch.sigmoid(x.sum(1, keepdim=True)), nn.Identity()),
}  # fmt: skip


def seeded_numbers() -> Any:
    matrix = torch.randn(3, 1)
    return Given(lambda x: torch.sigmoid(x @ matrix), nn.Linear(3, 3))


class Last(nn.Module):
    """What a recurrent layer says at last."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = nn.LSTM(3, 1, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.inside(x[:, None])[0][:, -1])


class Cast(nn.Module):
    """Casts to what its layer computes in, and back."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1).bfloat16()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.layer(x.bfloat16()).float())


SOUND.update({"half inside": Cast, "numbers drawn in fn_build": seeded_numbers})


@pytest.mark.parametrize("name", SOUND)
def test_sound_models_train_are_stored_and_load(tmp_path: Path, name: str) -> None:
    make = SOUND[name]
    changes: dict[str, Any] = {"fn_build": lambda *_, **hp: make()}
    if name == "no parameters":
        changes |= {
            "fn_train": lambda model, *_, **hp: model,
            "fn_optimize": lambda **hp: torch.optim.SGD([torch.zeros(1)], 0.1),
        }
    spec = spec_of(tmp_path, **changes)
    outcome = run.run(spec)
    model = run.load_model(
        "pytorch", spec.functions, outcome.model or b"", (3,), (1,), {}, seed=spec.seed
    )[0] if outcome.failure is None else pytest.fail(outcome.failure.traceback)  # fmt: skip
    kind = next((p.dtype for p in model.parameters()), torch.float32)
    rows = torch.tensor(
        small_training.features("test"), dtype=kind if "float" in name else torch.float32
    )
    found = as_array(model(rows))[:, 0]
    np.testing.assert_allclose(found, scored(outcome), atol=1e-6)
    assert "predictions" not in outcome.metric_notes.get("train", {})


def test_rehearsing_changes_nothing_of_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same seed gives the same weights, with dropout and batches drawn."""
    spec = spec_of(tmp_path, fn_build=lambda *_, **hp: SOUND["batch norm and dropout"]())
    first = run.run(spec)
    monkeypatch.setattr(storing, "rehearse", lambda *_: None)
    second = run.run(spec)
    assert first.model == second.model != b""
    assert first.history == second.history


class CountsCalls:
    """Gives less at each call."""

    calls = 0

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return torch.sigmoid(x / self.calls)


@pytest.mark.parametrize(
    ("then", "hint"),
    [
        (lambda x: torch.sigmoid(nn.functional.dropout(x, 0.5)), "other outputs each time"),
        (lambda x: torch.sigmoid(x + torch.randn_like(x)), "other outputs each time"),
        (CountsCalls(), "other outputs each time"),
        (lambda x: torch.sigmoid(x - x.mean(0)), "depends on the other rows of its batch"),
    ],
)
def test_models_that_give_something_else_each_time_are_noted(
    tmp_path: Path, then: Any, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storing, "SAMPLE", 8)
    outcome = run.run(spec_of(tmp_path, fn_build=lambda *_, **hp: Given(then)))
    assert outcome.failure is None, outcome.failure.traceback
    assert hint in outcome.metric_notes["train"]["predictions"]


def test_states_keep_the_versions_of_their_modules() -> None:
    state = nn.BatchNorm1d(2).state_dict()
    found = saving.unpack(saving.pack(state, {}))["model"]
    assert getattr(found, "_metadata", None) == {"": {"version": 2}}


def test_a_schedule_is_no_optimizer(tmp_path: Path) -> None:
    """D6."""

    def optimize(model: Any, **hp: Any) -> Any:
        return torch.optim.lr_scheduler.StepLR(torch.optim.SGD(model.parameters(), 0.1), 1)

    failure = run.run(spec_of(tmp_path, fn_optimize=optimize, fn_train=never)).failure
    assert failure is not None
    assert "returned a schedule (StepLR); return its optimizer" in failure.message
    assert capture("fn_optimize", optimize)


def test_words_of_torch_in_a_loop_of_ones_own_come_with_advice(tmp_path: Path) -> None:
    """D6: labels for CrossEntropyLoss."""

    def train(model: Any, loser: Any, o: Any, x: Any, y: Any, a: Any, b: Any, **hp: Any) -> Any:
        nn.CrossEntropyLoss()(model(x), y.long())

    failure = run.run(spec_of(tmp_path, fn_train=train)).failure
    assert failure is not None
    assert "y.reshape(-1).long()" in failure.message


@pytest.mark.slow  # TensorFlow takes seconds to import
class TestKeras:
    """The same of Keras, with files that hold more."""

    @staticmethod
    def layers() -> Any:
        import keras

        class Scaled(keras.layers.Layer):
            def __init__(self, then: Any = None) -> None:
                super().__init__()
                self.inner, self.then = keras.layers.Dense(1), then or keras.ops.sigmoid
                self.scale = 1.0

            def call(self, x: Any) -> Any:
                return self.then(self.scale * self.inner(x))

        class Sub(keras.Model):
            def __init__(self, then: Any = None) -> None:
                super().__init__()
                self.inside = Scaled(then)

            def call(self, x: Any) -> Any:
                return self.inside(x)

        return keras, Scaled, Sub

    @pytest.mark.parametrize("kind", ["class", "layer", "lambda", "text", "unbuilt", "nested"])
    def test_models_of_classes_are_stored(self, tmp_path: Path, kind: str) -> None:
        """B4: without get_config, Input or a lambda's text, fn_build's model gets the weights."""
        keras, Scaled, Sub = self.layers()  # noqa: N806 - classes

        def build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
            rows, dense = keras.layers.Input((3,)), keras.layers.Dense

            def twice(x: Any) -> Any:
                return keras.ops.sigmoid(2 * x)

            return {
                "class": lambda: Sub(twice),
                "layer": lambda: keras.Sequential([rows, Scaled(twice)]),
                "lambda": lambda: keras.Sequential([rows, dense(1), keras.layers.Lambda(twice)]),
                "text": lambda: keras.Sequential(
                    [
                        rows,
                        dense(
                            1,
                            lambda x: keras.ops.sigmoid(2 * x),
                            kernel_regularizer=lambda w: 0 * w[0, 0],
                        ),
                    ]
                ),
                "unbuilt": lambda: keras.Sequential([dense(4, "relu"), dense(1, "sigmoid")]),
                "nested": lambda: keras.Sequential([Sub(), keras.layers.Activation("linear")]),
            }[kind]()

        def lose(**hp: Any) -> Any:
            return (lambda y, p: keras.ops.mean((y - p) ** 2)) if kind == "text" else "mse"

        spec = small_training.make_spec(tmp_path, "keras", fn_build=build, fn_lose=lose)
        outcome = run.run(spec)
        assert outcome.failure is None, outcome.failure.traceback
        model = run.load_model(
            "keras", spec.functions, outcome.model or b"", (3,), (1,), {}, seed=5
        )
        found = np.asarray(model(small_training.features("test").astype("float32")))[:, 0]
        np.testing.assert_allclose(found, scored(outcome), atol=1e-6)
        assert int(model.optimizer.iterations) == 3 * 5

    def test_state_that_would_be_lost_fails_the_job(self, tmp_path: Path) -> None:
        """A7: a Python number of a layer."""
        keras, Scaled, _ = self.layers()  # noqa: N806

        def build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
            return keras.Sequential([keras.layers.Input((3,)), Scaled()])

        def train(model: Any, loser: Any, o: Any, x: Any, y: Any, *_: Any, **hp: Any) -> Any:
            model.compile(loss=loser, optimizer=o)
            model.fit(x, y, epochs=1, verbose=0)
            model.layers[-1].scale = -5.0
            return model

        spec = small_training.make_spec(tmp_path, "keras", fn_build=build, fn_train=train)
        failure = run.run(spec).failure
        assert failure is not None
        assert "attribute 'scale' (1.0, trained -5.0) of the layer 'scaled" in failure.message
        assert "self.add_weight" in failure.message

    @pytest.mark.parametrize(
        ("then", "hint"),
        [
            (lambda x: [x, x], "gives a list of 2. Let it have one output"),
            (lambda x: {"a": x}, "gives a dict of 1"),
            (lambda x: x[0, 0], "gives a single number for 4 samples"),
            (lambda x: x[1:], "gives outputs (3, 1) for 4 samples"),
        ],
    )
    def test_what_is_no_output_is_refused_before_training(
        self, tmp_path: Path, then: Any, hint: str
    ) -> None:
        """D6."""
        _, _, Sub = self.layers()  # noqa: N806
        spec = small_training.make_spec(
            tmp_path, "keras", fn_build=lambda *_, **hp: Sub(then), fn_train=never
        )
        failure = run.run(spec).failure
        assert failure is not None
        assert hint in failure.message

    def test_a_schedule_is_no_optimizer(self, tmp_path: Path) -> None:
        def optimize(**hp: Any) -> Any:
            import keras

            return keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)

        failure = run.run(
            small_training.make_spec(tmp_path, "keras", fn_optimize=optimize, fn_train=never)
        ).failure
        assert failure is not None
        assert "returned a schedule (ExponentialDecay); return an optimizer" in failure.message

    def test_rehearsing_changes_nothing_of_the_training(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The same weights and names of metrics, though fn_build makes a metric too."""

        def build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
            import keras

            layers = keras.layers
            model = keras.Sequential(
                [layers.Dense(4, "relu"), layers.Dropout(0.5), layers.Dense(1, "sigmoid")]
            )
            model.compile(loss="binary_crossentropy", metrics=[keras.metrics.AUC()])
            return model

        def train(model: Any, loser: Any, o: Any, x: Any, y: Any, *_: Any, **hp: Any) -> Any:
            import keras

            model.compile(loss=loser, optimizer=o, metrics=[keras.metrics.AUC()])
            model.fit(x, y, epochs=2, batch_size=8, verbose=0)
            return model

        spec = small_training.make_spec(tmp_path, "keras", fn_build=build, fn_train=train)
        first = run.run(spec)
        monkeypatch.setattr(storing, "rehearse", lambda *_: None)
        second = run.run(spec)
        assert first.history == second.history
        assert list(first.history) == ["auc_1", "loss"]
        np.testing.assert_array_equal(scored(first), scored(second))
