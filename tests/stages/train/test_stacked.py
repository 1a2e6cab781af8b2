"""Jobs trained together give what each gives by itself."""

from __future__ import annotations

import io
import logging
import random
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cloudpickle
import numpy as np
import pytest
import torch
from torch import nn

from aiqc_core.stages.preprocess.pipeline import FittedLabel
from aiqc_core.stages.train.functions.capture import capture
from aiqc_core.stages.train.run import run
from aiqc_core.stages.train.spec import JobOutcome, JobSpec
from aiqc_core.stages.train.stacking.run import groups, run_stacked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

BINARY, MULTI, REGRESSION = "classification_binary", "classification_multi", "regression"
SIZES = {"train": 46, "validation": 12, "test": 9}
ROLES = ("fn_build", "fn_train", "fn_predict", "fn_lose", "fn_optimize")
OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "sgd": lambda p, lr, decay: torch.optim.SGD(p, lr, 0.9, weight_decay=decay, nesterov=True),
    "adam": lambda p, lr, decay: torch.optim.Adam(p, lr, weight_decay=decay),
    "adamw": lambda p, lr, decay: torch.optim.AdamW(p, lr, weight_decay=decay),
    "adamax": lambda p, lr, decay: torch.optim.Adamax(p, lr, weight_decay=decay),
    "rmsprop": lambda p, lr, decay: torch.optim.RMSprop(p, lr, weight_decay=decay),
}


def perceptron(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = nn.Linear(features_shape[0], hp.get("neurons", 8))
            self.norm = nn.BatchNorm1d(hp.get("neurons", 8))
            self.drop = nn.Dropout(hp.get("dropout", 0.0))
            self.last = nn.Linear(hp.get("neurons", 8), label_shape[0])

        def forward(self, x: Any) -> Any:
            return self.last(self.drop(torch.tanh(self.norm(self.drop(self.hidden(x))))))

    return nn.Sequential(Net(), nn.Sigmoid()) if hp.get("sigmoid", True) else Net()


def convolution(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Dropout2d(hp["dropout"]), nn.MaxPool2d(2), nn.Flatten(),
        nn.Dropout(hp["dropout"] / 2), nn.Linear(36, label_shape[0]),
    )  # fmt: skip


def fn_optimize(model: Any, **hp: Any) -> Any:
    return OPTIMIZERS[hp.get("kind", "adam")](
        model.parameters(), hp.get("lr", 0.01), hp.get("decay", 0.0)
    )


def fn_train(
    model: Any, loser: Any, optimizer: Any, x: Any, y: Any, eval_x: Any, eval_y: Any, **hp: Any
) -> Any:
    """Train in double precision, in which rounding cannot hide a difference."""
    from aiqc_core.utils.pytorch import fit

    model.double()
    arrays = [None if part is None else part.double() for part in (x, y, eval_x, eval_y)]
    history, model = fit(
        model, loser, optimizer, *arrays, epochs=hp.get("epochs", 3), batch_size=8,
        enforce_sameSize=False,
    )  # fmt: skip
    return history, model.float()


@pytest.fixture
def spec(tmp_path: Path) -> Callable[..., JobSpec]:
    """Return a function that writes samples and makes a specification."""

    def make(
        job: int, analysis_type: str = BINARY, *, fold: int = 0, width: int = 3, **changes: Any
    ) -> JobSpec:
        folder, rng = tmp_path / f"{analysis_type}_{fold}_{width}", np.random.default_rng(fold)
        for split, size in SIZES.items():
            (folder / split).mkdir(parents=True, exist_ok=True)
            x = rng.normal(size=(size, width))
            total = x[:, :3].sum(axis=1, keepdims=True)
            edges = {BINARY: [0.0], MULTI: [-0.5, 0.5]}.get(analysis_type)
            np.save(folder / split / "feature_0.npy", x)
            np.save(
                folder / split / "label.npy", total if edges is None else np.digitize(total, edges)
            )
        classes = {BINARY: (0, 1), MULTI: (0, 1, 2)}.get(analysis_type)
        given = {"fn_build": perceptron, "fn_train": fn_train, "fn_optimize": fn_optimize}
        user = {role: changes.pop(role, given.get(role)) for role in ROLES}
        values: dict[str, Any] = {
            "job_id": job, "repeat_index": 0, "name": f"job {job}", "library": "pytorch",
            "analysis_type": analysis_type,
            "functions": {r: f and capture(r, f).payload for r, f in user.items()},
            "hyperparameters": {}, "seed": 100 + job,
            "samples": {split: str(folder / split) for split in SIZES},
            "key_train": "train", "key_evaluation": "validation", "feature_count": 1,
            "label": FittedLabel(("y",), None, classes),
            "column_groups": ({"0": (0,)},), "permute_count": 1,
        }  # fmt: skip
        return JobSpec(**(values | changes))

    return make


def state(outcome: JobOutcome) -> Any:
    assert outcome.model is not None
    return torch.load(io.BytesIO(outcome.model), weights_only=True)


def assert_equal(stacked: Sequence[JobOutcome], alone: Sequence[JobOutcome]) -> None:
    for one, other in zip(stacked, alone, strict=True):
        assert one.failure is None, one.failure.traceback
        assert other.failure is None, other.failure.traceback
        assert one.job_id == other.job_id
        assert list(one.history) == list(other.history)
        for name, values in other.history.items():
            assert one.history[name] == pytest.approx(values, rel=1e-9, abs=1e-12, nan_ok=True)
        torch.testing.assert_close(state(one), state(other), equal_nan=True)
        for split, values in other.predictions.items():
            np.testing.assert_array_equal(one.predictions[split], values)
        for split, values in other.metrics.items():
            assert one.metrics[split] == pytest.approx(values, rel=1e-5, abs=1e-6, nan_ok=True)
        assert list(one.seconds) == list(other.seconds)


def together(specs: list[JobSpec], caplog: pytest.LogCaptureFixture) -> list[JobOutcome]:
    caplog.set_level(logging.INFO, "aiqc_core.stages.train.stacking.run")
    outcomes = run_stacked(specs)
    assert "by itself" not in caplog.text
    assert "Trained together" in caplog.text
    return outcomes


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_perceptrons_that_differ_in_numbers_learn_what_each_learns_by_itself(
    spec: Any, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """Learning rate, weight decay, dropout, seed and BatchNorm; a last batch of another size."""
    numbers = [(0.01, 0.0, 0.0), (0.03, 0.1, 0.5), (0.001, 0.01, 0.2), (0.01, 0.0, 1.0)]
    specs = [
        spec(i, hyperparameters={"lr": lr, "decay": d, "dropout": p, "kind": kind})
        for i, (lr, d, p) in enumerate(numbers)
    ]
    assert groups(specs) == ([[0, 1, 2, 3]], {})
    alone = [run(one) for one in specs]
    assert_equal(together(specs, caplog), alone)
    assert len({outcome.history["loss"][-1] for outcome in alone}) == len(specs)


def test_small_convolutional_networks_learn_what_each_learns_by_itself(
    spec: Any, caplog: pytest.LogCaptureFixture
) -> None:
    specs = [
        spec(i, MULTI, width=64, fn_build=convolution, hyperparameters={"lr": lr, "dropout": p})
        for i, (lr, p) in enumerate([(0.01, 0.0), (0.003, 0.3), (0.01, 0.6)])
    ]
    assert_equal(together(specs, caplog), [run(one) for one in specs])


@pytest.mark.parametrize("kind", [BINARY, MULTI, REGRESSION])
def test_repeats_and_folds_of_one_size_are_trained_together(
    spec: Any, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    chosen = {"hyperparameters": {"sigmoid": kind == BINARY, "dropout": 0.2}}
    specs = [spec(i, kind, fold=i // 2, repeat_index=i % 2, **chosen) for i in range(4)]
    assert groups(specs) == ([[0, 1, 2, 3]], {})
    outcomes = together(specs, caplog)
    assert_equal(outcomes, [run(one) for one in specs])
    assert [outcome.repeat_index for outcome in outcomes] == [0, 1, 0, 1]


def test_a_model_that_diverges_leaves_the_others_as_they_are(
    spec: Any, caplog: pytest.LogCaptureFixture
) -> None:
    specs = [
        spec(i, hyperparameters={"lr": lr, "kind": "sgd"})
        for i, lr in enumerate([0.01, 1e300, 0.02])
    ]
    alone = [run(one) for one in specs]
    assert [outcome.diverged for outcome in alone] == [False, True, False]
    outcomes = together(specs, caplog)
    assert [outcome.diverged for outcome in outcomes] == [False, True, False]
    assert_equal(outcomes[::2], alone[::2])


def stopping_train(
    model: Any, loser: Any, optimizer: Any, x: Any, y: Any, eval_x: Any, eval_y: Any, **hp: Any
) -> Any:
    from aiqc_core.utils.pytorch import TrainingCallback, fit

    wanted = [{"metric": "loss", "cutoff": hp["cutoff"], "above_or_below": "below"}]
    arrays = [part.double() for part in (x, y, eval_x, eval_y)]
    history, model = fit(
        model.double(), loser, optimizer, *arrays, epochs=12, batch_size=8,
        callbacks=[TrainingCallback.MetricCutoff(wanted)],
    )  # fmt: skip
    return history, model.float()


def test_those_that_are_stopped_early_leave_and_the_others_go_on(
    spec: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """By MetricCutoff; the folds differ, so that samples leave with their models."""
    specs = [
        spec(i, fold=i, fn_train=stopping_train, hyperparameters={"cutoff": c, "dropout": 0.3})
        for i, c in enumerate([0.3, 0.0, 0.45, 100.0])
    ]
    alone = [run(one) for one in specs]
    lengths = [len(outcome.history["loss"]) for outcome in alone]
    assert lengths[3] == 1 < lengths[0] < lengths[1] == 12
    assert_equal(together(specs, caplog), alone)


def halfway(history: Any, rivals: Any) -> bool:
    del rivals
    return history["loss"][-1] < 0.6


def test_a_pruner_stops_each_for_itself(spec: Any, caplog: pytest.LogCaptureFixture) -> None:
    specs = [
        spec(i, hyperparameters={"lr": lr, "epochs": 6}, pruner=cloudpickle.dumps(halfway))
        for i, lr in enumerate([0.1, 1e-5])
    ]
    alone = [run(one) for one in specs]
    assert [outcome.pruned for outcome in alone] == [True, False]
    outcomes = together(specs, caplog)
    assert [outcome.pruned for outcome in outcomes] == [True, False]
    assert_equal(outcomes, alone)


def two_phases(
    model: Any, loser: Any, optimizer: Any, x: Any, y: Any, eval_x: Any, eval_y: Any, **hp: Any
) -> Any:
    """Warm up, draw, then train: two calls of fit, the second with a used optimizer."""
    from aiqc_core.utils.pytorch import fit

    arrays = [part.double() for part in (x, y, eval_x, eval_y)]
    model.double()
    first, _ = fit(model, loser, optimizer, *arrays, epochs=1, batch_size=8)
    drawn = [random.random(), float(np.random.random()), float(torch.rand(1))]  # noqa: NPY002
    for group in optimizer.param_groups:
        group["lr"] *= 0.1
    second, _ = fit(model, loser, optimizer, *arrays, epochs=2, batch_size=8)
    last = [random.random(), float(np.random.random()), float(torch.rand(1))]  # noqa: NPY002
    return {"loss": first["loss"] + second["loss"], "drawn": drawn + last}, model.float()


def test_fit_may_be_called_twice_and_each_job_draws_from_its_own_generators(
    spec: Any, caplog: pytest.LogCaptureFixture
) -> None:
    specs = [spec(i, fn_train=two_phases, hyperparameters={"dropout": 0.1 * i}) for i in range(3)]
    assert_equal(together(specs, caplog), [run(one) for one in specs])
    assert caplog.text.count("Trained together") == 2


def test_the_generators_of_this_process_are_left_alone(spec: Any) -> None:
    before = random.getstate(), torch.get_rng_state(), torch.get_num_threads()
    run_stacked([spec(i) for i in range(2)])
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])
    assert torch.get_num_threads() == before[2]


# ---------------------------------------------------------------- what cannot be stacked


def recurrent(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.last = nn.GRU(1, 4, batch_first=True), nn.Linear(4, 1)

        def forward(self, x: Any) -> Any:
            return torch.sigmoid(self.last(self.inner(x[:, :, None])[0][:, -1]))

    return Net()


def functional_dropout(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    class Net(nn.Linear):
        def forward(self, x: Any) -> Any:
            return torch.sigmoid(nn.functional.dropout(super().forward(x), 0.5, self.training))

    return Net(features_shape[0], 1)


def noise_of_numpy(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    class Net(nn.Linear):
        def forward(self, x: Any) -> Any:
            return torch.sigmoid(super().forward(x) + np.random.random())  # noqa: NPY002

    return Net(features_shape[0], 1)


def counts_its_calls(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    class Net(nn.Linear):
        calls = 0

        def forward(self, x: Any) -> Any:
            self.calls += 1
            return torch.sigmoid(super().forward(x) / self.calls)

    return Net(features_shape[0], 1)


def unused_layer(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = nn.Linear(features_shape[0], 1), nn.Linear(2, 2)

        def forward(self, x: Any) -> Any:
            return torch.sigmoid(self.used(x))

    return Net()


def double_it(layer: Any, given: Any, output: Any) -> Any:
    return output * 2


def hooked(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    model = nn.Sequential(nn.Linear(features_shape[0], 1), nn.Sigmoid())
    model[0].register_forward_hook(double_it)
    return model


def sloped(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    return nn.Sequential(nn.Linear(features_shape[0], 1), nn.LeakyReLU(hp["lr"]), nn.Sigmoid())


def scheduled(model: Any, **hp: Any) -> Any:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.optim.lr_scheduler.StepLR(optimizer, 1)
    return optimizer


def other_optimizer(model: Any, **hp: Any) -> Any:
    return torch.optim.Adagrad(model.parameters())


def by_value(**hp: Any) -> Any:
    def loser(output: Any, label: Any) -> Any:
        error = (output - label).abs().mean()
        return error * 2 if error > 0.1 else error

    return loser


@pytest.mark.parametrize(
    ("functions", "reported"),
    [
        ({"fn_build": recurrent}, "cannot stack RNN layers"),
        ({"fn_build": functional_dropout}, "random operation"),
        ({"fn_build": noise_of_numpy}, "draws random numbers outside of torch"),
        ({"fn_build": counts_its_calls}, "differ when they are stacked|changes calls of the Net"),
        ({"fn_build": unused_layer}, r"\['idle.weight', 'idle.bias'\] get no gradient"),
        ({"fn_build": hooked}, "has hooks"),
        ({"fn_build": sloped}, "differ in negative_slope of the LeakyReLU '1'"),
        ({"fn_optimize": scheduled}, "step is wrapped, as by a scheduler"),
        ({"fn_optimize": other_optimizer}, "Adagrad is none of"),
        ({"fn_lose": by_value}, "stacking failed"),
    ],
)
def test_what_cannot_be_stacked_is_trained_by_itself_and_the_log_says_why(
    spec: Any, caplog: pytest.LogCaptureFixture, functions: dict[str, Any], reported: str
) -> None:
    caplog.set_level(logging.INFO, "aiqc_core.stages.train.stacking.run")
    specs = [spec(i, **functions, hyperparameters={"lr": lr}) for i, lr in enumerate([0.1, 0.2])]
    outcomes = run_stacked(specs)
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(" is trained")[0] for line in lines] == ["job 0", "job 1"]
    assert re.search(reported, lines[0])
    assert_equal(outcomes, [run(one) for one in specs])


def own_loop(
    model: Any, loser: Any, optimizer: Any, x: Any, y: Any, eval_x: Any, eval_y: Any, **hp: Any
) -> Any:
    for _ in range(3):
        optimizer.zero_grad()
        loser(model(x), y).backward()
        optimizer.step()
    return model


def test_a_loop_of_ones_own_runs_as_it_is(spec: Any) -> None:
    specs = [spec(i, fn_train=own_loop) for i in range(2)]
    assert_equal(run_stacked(specs), [run(one) for one in specs])


def test_numbers_that_change_the_architecture_make_stacks_of_their_own(
    spec: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "aiqc_core.stages.train.stacking.run")
    sizes = [4, 8, 4, 8, 6]
    specs = [spec(i, hyperparameters={"neurons": n}) for i, n in enumerate(sizes)]
    assert groups(specs) == ([[0, 2, 4, 1, 3]], {})  # like by like
    assert_equal(run_stacked(specs), [run(one) for one in specs])
    lines = [record.getMessage() for record in caplog.records]
    assert [line for line in lines if line.startswith("Trained together")] == [
        "Trained together: job 0, job 2",
        "Trained together: job 1, job 3",
    ]


def picky_train(
    model: Any, loser: Any, optimizer: Any, x: Any, y: Any, eval_x: Any, eval_y: Any, **hp: Any
) -> Any:
    from aiqc_core.utils.pytorch import fit

    if hp["wrong"] == 1:
        raise ValueError("before fit")
    result = fit(model, loser, optimizer, x, y, eval_x, eval_y, epochs=2, batch_size=8)
    if hp["wrong"] == 2:
        raise SystemExit(3)
    return result


def test_a_job_that_fails_is_recorded_with_its_own_reason_and_spoils_no_other(
    spec: Any,
) -> None:
    specs = [spec(i, fn_train=picky_train, hyperparameters={"wrong": i}) for i in range(4)]
    outcomes = run_stacked(specs)
    assert [outcome.failure and outcome.failure.kind for outcome in outcomes] == [
        None, "exception", "exit", None,
    ]  # fmt: skip
    assert "before fit" in outcomes[1].failure.message  # type: ignore[union-attr]


def interrupted_train(
    model: Any, loser: Any, optimizer: Any, x: Any, y: Any, eval_x: Any, eval_y: Any, **hp: Any
) -> Any:
    from aiqc_core.utils.pytorch import fit

    if hp["last"]:
        raise KeyboardInterrupt
    return fit(model, loser, optimizer, x, y, eval_x, eval_y, epochs=2, batch_size=8)


def test_an_interrupt_ends_all_and_leaves_no_thread(spec: Any) -> None:
    import threading

    before = threading.active_count()
    specs = [
        spec(i, fn_train=interrupted_train, hyperparameters={"last": int(i == 2)})
        for i in range(3)
    ]
    with pytest.raises(KeyboardInterrupt):
        run_stacked(specs)
    assert threading.active_count() == before


def test_groups_hold_jobs_that_differ_only_in_numbers(spec: Any, tmp_path: Path) -> None:
    specs = [
        spec(0, hyperparameters={"lr": 0.1, "act": "relu"}),
        spec(1, hyperparameters={"lr": 0.2, "act": "tanh"}),
        spec(2, hyperparameters={"lr": 0.3, "act": "relu"}),
        spec(3, library="keras"),
        spec(4, hyperparameters={"lr": 0.3, "act": "relu"}, checkpoint_seconds=60.0),
        spec(5, hyperparameters={"lr": 0.3, "act": "relu"}, checkpoint=str(tmp_path)),
        spec(6, width=4, hyperparameters={"lr": 0.3, "act": "relu"}),
        spec(7, hyperparameters={"lr": 0.5, "act": "relu"}, fn_train=own_loop),
    ]
    found, reasons = groups(specs)
    assert found == [[0, 2]]
    assert sorted(reasons) == [1, 3, 4, 5, 6, 7]
    assert "only PyTorch" in reasons[3]
    assert "keeps checkpoints" in reasons[4]
    assert "resumes from its checkpoint" in reasons[5]
    assert all("no other Job here" in reasons[index] for index in (1, 6, 7))


def test_large_groups_are_cut_into_nearly_equal_parts(spec: Any) -> None:
    one = spec(0)
    found, _ = groups([replace(one, seed=seed) for seed in range(65)])
    assert [len(part) for part in found] == [21, 22, 22]
    assert sorted(index for part in found for index in part) == list(range(65))
