"""`utils.pytorch.fit` against loops written by hand."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
import torchmetrics
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from aiqc_core.stages.train.backends.torch import fit as torch_fit
from aiqc_core.stages.train.backends.torch.backend import CategoricalLoss
from aiqc_core.stages.train.backends.torch.loop import batch_bounds
from aiqc_core.utils.pytorch import fit


class Recorder(nn.Module):
    """A linear model that keeps what it was trained on."""

    def __init__(self, width: int = 1, inner: nn.Module | None = None) -> None:
        super().__init__()
        self.inner = inner or nn.Linear(2, width)
        self.batches: list[torch.Tensor] = []
        self.modes: set[tuple[bool, bool]] = set()

    def forward(self, *features: torch.Tensor) -> torch.Tensor:
        """Record, then compute."""
        self.modes.add((self.training, torch.is_grad_enabled()))
        if self.training:
            self.batches.append(torch.cat(features, dim=1).clone())
        return self.inner(features[0])


def data(samples: int, classes: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(samples, 2)
    if classes:
        return x, (torch.arange(samples) % classes).float()[:, None]
    return x, x.sum(dim=1, keepdim=True)


def trained(model: nn.Module, loser: Any, *arrays: Any, **options: Any) -> dict[str, list[float]]:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    evaluation = arrays[2:] or (None, None)
    return fit(model, loser, optimizer, *arrays[:2], *evaluation, **options)[0]


@pytest.mark.parametrize(
    ("samples", "options", "sizes"),
    [
        (11, {}, [5, 5]),
        (11, {"enforce_sameSize": False}, [5, 5]),
        (11, {"enforce_sameSize": False, "allow_singleSample": True}, [5, 5, 1]),
        (13, {"enforce_sameSize": False}, [5, 5, 3]),
        (10, {"enforce_sameSize": False, "allow_singleSample": True}, [5, 5]),
    ],
)
def test_batches_have_the_sizes_asked_for(
    samples: int, options: dict[str, Any], sizes: list[int]
) -> None:
    """B17."""
    model = Recorder()
    trained(model, nn.MSELoss(), *data(samples), epochs=1, batch_size=5, **options)
    assert [len(batch) for batch in model.batches] == sizes


def test_an_only_batch_that_is_too_small_is_used_with_a_warning() -> None:
    """B17, as the semantics rule it: never zero batches."""
    model = Recorder()
    with pytest.warns(UserWarning, match="batch_size: 5 is more than the 3"):
        trained(model, nn.MSELoss(), *data(3), epochs=1, batch_size=5)
    assert [len(batch) for batch in model.batches] == [3]


@pytest.mark.parametrize(
    ("samples", "options"),
    [(3, {"batch_size": 1}), (1, {"batch_size": 5, "enforce_sameSize": False})],
)
def test_no_batch_left_is_an_error(samples: int, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"no batch left.*allow_singleSample"):
        trained(Recorder(), nn.MSELoss(), *data(samples), **options)


def test_one_sample_and_batch_norm_is_an_error_that_names_the_batch() -> None:
    """B17."""
    model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    options = {"batch_size": 5, "enforce_sameSize": False, "allow_singleSample": True}
    with pytest.raises(ValueError, match=r"batch has one sample.*allow_singleSample=False"):
        trained(model, nn.MSELoss(), *data(11), **options)


@given(
    samples=st.integers(1, 50),
    batch_size=st.integers(1, 12),
    same_size=st.booleans(),
    single_sample=st.booleans(),
)
def test_batches_are_runs_that_never_overlap(
    samples: int, batch_size: int, *, same_size: bool, single_sample: bool
) -> None:
    if samples < batch_size and same_size:
        return
    try:
        bounds = batch_bounds(
            samples, batch_size, same_size=same_size, single_sample=single_sample
        )
    except ValueError:
        assert not single_sample
        return
    rows = [row for start, stop in bounds for row in range(start, stop)]
    assert rows == list(range(len(rows)))
    assert samples - len(rows) < batch_size
    if single_sample and not same_size:
        assert len(rows) == samples


def test_every_epoch_sees_each_row_once_in_another_order_with_its_own_label() -> None:
    features = [torch.arange(12.0)[:, None] + torch.zeros(1, 2), torch.arange(12.0)[:, None]]
    seen: list[torch.Tensor] = []

    def loser(output: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        if output.requires_grad:
            seen.append(label[:, 0].clone())
        return ((output - label) ** 2).mean()

    model = Recorder()
    trained(model, loser, features, torch.arange(12.0)[:, None], epochs=3, batch_size=4)
    rows = torch.cat(model.batches)
    assert torch.equal(rows[:, 0], rows[:, 2])  # both features together
    assert torch.equal(rows[:, 0], torch.cat(seen))
    epochs = rows[:, 0].reshape(3, 12)
    assert all(sorted(epoch.tolist()) == list(range(12)) for epoch in epochs)
    assert len({tuple(epoch.tolist()) for epoch in epochs}) == 3


def test_weights_and_history_are_those_of_a_loop_written_by_hand() -> None:
    x, y = data(30)
    eval_x, eval_y = data(9)
    model = nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.5), nn.Linear(4, 1))
    twin = copy.deepcopy(model)
    torch.manual_seed(3)
    history = trained(model, nn.MSELoss(), x, y, eval_x, eval_y, epochs=3, batch_size=7)
    torch.manual_seed(3)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.05)
    expected: dict[str, list[float]] = {"loss": [], "val_loss": []}
    for _ in range(3):
        twin.train()
        order = torch.randperm(30)
        for rows in order[:28].split(7):
            optimizer.zero_grad()
            ((twin(x[rows]) - y[rows]) ** 2).mean().backward()
            optimizer.step()
        twin.eval()
        with torch.no_grad():
            expected["loss"].append(float(((twin(x) - y) ** 2).mean()))
            expected["val_loss"].append(float(((twin(eval_x) - eval_y) ** 2).mean()))
    assert list(history) == list(expected)
    for name, values in expected.items():
        assert history[name] == pytest.approx(values)
    for mine, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)


def test_training_has_gradients_and_scoring_neither_gradients_nor_dropout() -> None:
    model = Recorder()
    trained(model, nn.MSELoss(), *data(10), *data(4), epochs=1)
    assert model.modes == {(True, True), (False, False)}


def test_no_evaluation_data_no_val_history() -> None:
    assert sorted(trained(Recorder(), nn.MSELoss(), *data(10), epochs=2)) == ["loss"]


class Same(nn.Module):
    """Gives its first column, whatever is learned."""

    def __init__(self, *, flat: bool = False) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.flat = flat

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the column, flat or not."""
        output = x[:, :1] + 0 * self.unused
        return output[:, 0] if self.flat else output


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_labels_and_outputs_never_broadcast(shape: tuple[int, ...], *, flat: bool) -> None:
    """B16: the bug records 1.3333."""
    x = torch.tensor([[1.0], [2.0], [3.0]])
    history = trained(Same(flat=flat), nn.MSELoss(), x, x.reshape(shape), epochs=1, batch_size=3)
    assert history["loss"] == [0.0]


def test_other_shapes_are_refused_showing_both() -> None:
    """B16."""
    with pytest.raises(ValueError, match=r"\(2, 3\), the label \(2, 1\)"):
        trained(Recorder(3), nn.MSELoss(), *data(4), batch_size=2)


@pytest.mark.parametrize("loser", [nn.CrossEntropyLoss(), nn.NLLLoss(), CategoricalLoss()])
@pytest.mark.parametrize("one_hot", [True, False])
def test_class_losses_take_ordinal_and_one_hot_labels(loser: nn.Module, *, one_hot: bool) -> None:
    x, y = data(8, classes=3)
    given_ = nn.functional.one_hot(y[:, 0].long()).float() if one_hot else y
    inner = nn.Sequential(nn.Linear(2, 3), nn.LogSoftmax(dim=1))
    model = Recorder(inner=inner)
    history = trained(model, loser, x, given_, epochs=2, batch_size=4)
    with torch.no_grad():
        rows = inner(x)[torch.arange(8), y[:, 0].long()]
    assert history["loss"][-1] == pytest.approx(-float(rows.mean()))


def test_the_default_class_loss_is_the_same_over_probabilities_and_logits() -> None:
    logits, label = torch.randn(6, 3), torch.tensor([0, 1, 2, 2, 1, 0])
    expected = nn.functional.cross_entropy(logits, label)
    loser = CategoricalLoss()
    assert torch.allclose(loser(logits, label[:, None].float()), expected)
    assert torch.allclose(loser(logits.softmax(dim=1), label[:, None].float()), expected)
    assert torch.allclose(loser(logits, nn.functional.one_hot(label).float()), expected)


def test_metrics_are_reset_for_every_epoch_and_split() -> None:
    """B59: all right, then all wrong, is 1.0 then 0.0 and not 0.5."""

    class Flips(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))
            self.epoch = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            """Give one answer to all; an epoch is one batch."""
            self.epoch += self.training
            right = 0.9 if self.epoch <= 1 else 0.1
            return torch.full((len(x), 1), right) + 0 * self.weight

    metric = torchmetrics.Accuracy(task="binary")
    model = Flips()
    ones, zeros = torch.ones(6, 1), torch.zeros(4, 1)
    history = trained(
        model, nn.BCELoss(), ones, ones, zeros, zeros, epochs=2, batch_size=6, metrics=[metric]
    )
    assert history["BinaryAccuracy"] == [1.0, 0.0]
    assert history["val_BinaryAccuracy"] == [0.0, 1.0]
    assert metric.update_count == 0  # the user's own is left alone


def test_metrics_are_copied_to_the_models_device() -> None:
    """B59: the device without memory stands for an accelerator."""
    metric = torchmetrics.Accuracy(task="binary")
    (moved,) = torch_fit._named([metric], torch.device("meta")).values()
    assert (moved.device.type, metric.device.type) == ("meta", "cpu")


@pytest.mark.parametrize("one_hot", [True, False])
def test_class_metrics_take_ordinal_and_one_hot_labels(*, one_hot: bool) -> None:
    x, y = data(9, classes=3)
    given_ = nn.functional.one_hot(y[:, 0].long()).float() if one_hot else y
    model = Recorder(3)
    metric = torchmetrics.Accuracy(task="multiclass", num_classes=3, average="micro")
    history = trained(
        model, CategoricalLoss(), x, given_, epochs=1, batch_size=3, metrics=[metric]
    )
    right = (model.inner(x).argmax(dim=1) == y[:, 0]).float().mean()
    assert history["MulticlassAccuracy"] == [pytest.approx(float(right))]


def test_regression_metrics_compare_values() -> None:
    model = Recorder()
    metric = torchmetrics.MeanSquaredError()
    history = trained(model, nn.MSELoss(), *data(9), epochs=2, batch_size=3, metrics=[metric])
    assert history["MeanSquaredError"] == pytest.approx(history["loss"])


def test_a_loss_with_class_weights_is_over_all_samples_at_once() -> None:
    """More samples than are scored at a time: a mean of means would differ."""
    x, y = data(5000, classes=2)
    y = torch.sort(y, dim=0).values
    loser = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 9.0]))
    model = Recorder(2)
    history = trained(model, loser, x, y, epochs=1, batch_size=1000)
    with torch.no_grad():
        assert history["loss"] == [pytest.approx(float(loser(model.inner(x), y[:, 0].long())))]


def test_a_model_that_diverged_gives_nan_and_no_error() -> None:
    inner = nn.Sequential(nn.Linear(2, 1), nn.Sigmoid())
    with torch.no_grad():
        inner[0].weight.fill_(math.nan)
    x, y = data(8, classes=2)
    history = trained(Recorder(inner=inner), nn.BCELoss(), x, y, x, y, epochs=2, batch_size=4)
    assert all(math.isnan(value) for values in history.values() for value in values)


def test_outputs_that_are_no_probabilities_are_reported_with_the_remedy() -> None:
    x, y = data(8, classes=2)
    with pytest.raises(ValueError, match=r"values in \[.*nn.Sigmoid"):
        trained(Recorder(), nn.BCELoss(), x * 100, y, batch_size=4)


@pytest.mark.parametrize(
    ("options", "reported"),
    [({"epochs": 0}, "epochs: 0"), ({"batch_size": 0}, "batch_size: 0")],
)
def test_counts_below_one_are_refused(options: dict[str, Any], reported: str) -> None:
    with pytest.raises(ValueError, match=reported):
        trained(Recorder(), nn.MSELoss(), *data(4), **options)


def test_features_and_labels_have_to_pair() -> None:
    with pytest.raises(ValueError, match=r"\[4, 5\] samples"):
        trained(Recorder(), nn.MSELoss(), data(4)[0], data(5)[1])


@pytest.mark.parametrize("columns", [1, 2])
def test_a_linear_relation_is_learned_to_less_than_a_hundredth_of_the_variance(
    columns: int,
) -> None:
    x = torch.randn(200, columns)
    y = x @ torch.arange(1.0, columns + 1)[:, None] + 0.5
    model = nn.Linear(columns, 1)
    history = trained(model, nn.MSELoss(), x, y, epochs=20, batch_size=10)
    assert history["loss"][-1] < 0.01 * float(y.var())


def test_a_linear_relation_of_two_features_is_learned() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Linear(1, 1), nn.Linear(2, 1)

        def forward(self, one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
            """Add what is made of each feature."""
            return self.left(one) + self.right(two)

    one, two = torch.randn(200, 1), torch.randn(200, 2)
    y = one * 3 - two[:, :1] + 2 * two[:, 1:]
    arrays = [one, two], y, [one[:50], two[:50]], y[:50]
    history = trained(Sum(), nn.MSELoss(), *arrays, epochs=20, batch_size=10)
    assert history["loss"][-1] < 0.01 * float(y.var())
    assert history["val_loss"][-1] < 0.01 * float(y.var())


def test_batch_norm_learns_nothing_from_evaluation_data() -> None:
    def statistics(evaluation: tuple[torch.Tensor, ...]) -> torch.Tensor:
        torch.manual_seed(4)
        norm = nn.BatchNorm1d(2)
        model = nn.Sequential(norm, nn.Linear(2, 1))
        trained(model, nn.MSELoss(), x, y, *evaluation, epochs=3, batch_size=5)
        return torch.cat([norm.running_mean, norm.running_var])  # type: ignore[list-item]

    x, y = data(20)
    assert torch.equal(statistics(()), statistics((x + 1000, y)))


def test_two_metrics_of_one_class_have_names_of_their_own() -> None:
    x, y = data(9, classes=3)
    accuracy = {
        average: torchmetrics.Accuracy(task="multiclass", num_classes=3, average=average)
        for average in ("micro", "macro")
    }
    both = trained(Recorder(3), CategoricalLoss(), x, y, epochs=1, metrics=[*accuracy.values()])
    assert list(both) == ["loss", "MulticlassAccuracy", "MulticlassAccuracy_2"]


def test_a_metric_of_several_numbers_is_refused() -> None:
    x, y = data(9, classes=3)
    each = torchmetrics.Accuracy(task="multiclass", num_classes=3, average="none")
    with pytest.raises(ValueError, match=r"MulticlassAccuracy gives tensor.*another average"):
        trained(Recorder(3), CategoricalLoss(), x, y, epochs=1, metrics=[each])
