"""Thresholds that stop a training, and their twin for PyTorch."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from aiqc_core.stages.train.hooks.cutoff import all_hold, thresholds
from aiqc_core.utils.pytorch import TrainingCallback, fit

LOW = {"metric": "loss", "cutoff": 0.1, "above_or_below": "below"}
HIGH = {"metric": "val_accuracy", "cutoff": 0.9, "above_or_below": "above"}


@given(
    loss=st.floats(allow_nan=True, allow_infinity=True),
    accuracy=st.floats(allow_nan=True, allow_infinity=True),
)
def test_all_thresholds_have_to_hold_and_nan_never_does(loss: float, accuracy: float) -> None:
    latest = {"loss": loss, "val_accuracy": accuracy}
    assert all_hold(thresholds([LOW, HIGH]), latest) == (loss <= 0.1 and accuracy >= 0.9)


@pytest.mark.parametrize(
    ("wrong", "reported"),
    [
        ([], "none given"),
        ([LOW | {"patience": 3}], "'patience': 3.*'above_or_below', 'cutoff', 'metric'"),
        ([{"metric": "loss", "cutoff": 1}], "no others"),
        ([LOW | {"cutoff": "0.1"}], "cutoff: '0.1'"),
        ([LOW | {"cutoff": math.nan}], "cutoff: nan"),
        ([LOW | {"cutoff": True}], "cutoff: True"),
        ([LOW | {"above_or_below": "under"}], "'under'; give 'above' or 'below'"),
        ([LOW | {"metric": 3}], "metric: 3"),
    ],
)
def test_thresholds_that_cannot_be_read_are_refused(wrong: Any, reported: str) -> None:
    with pytest.raises(ValueError, match=reported):
        TrainingCallback.MetricCutoff(wrong)


def trained(*cutoffs: dict[str, Any], epochs: int = 40) -> dict[str, list[float]]:
    torch.manual_seed(0)
    x = torch.randn(40, 1)
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    stop = TrainingCallback.MetricCutoff(cutoffs)
    arrays = x, 2 * x, x[:10], 2 * x[:10]
    return fit(
        model, nn.MSELoss(), optimizer, *arrays, epochs=epochs, batch_size=10, callbacks=[stop]
    )[0]


def test_fit_stops_after_the_first_epoch_at_which_all_hold() -> None:
    history = trained(LOW, {"metric": "val_loss", "cutoff": 0.2, "above_or_below": "below"})
    reached = [a <= 0.1 and b <= 0.2 for a, b in zip(*history.values(), strict=True)]
    assert reached == [False] * (len(reached) - 1) + [True]
    assert 1 < len(reached) < 40


def test_fit_goes_on_to_the_end_where_a_threshold_is_never_reached() -> None:
    assert len(trained(LOW | {"cutoff": -1.0}, epochs=4)["loss"]) == 4


def test_a_metric_that_the_history_lacks_is_reported_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"'val_accuracy'.*\['loss', 'val_loss'\]"):
        trained(HIGH)
