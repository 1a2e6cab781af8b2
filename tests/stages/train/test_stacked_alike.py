"""When two models are the same but for their numbers."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import nn

from aiqc_core.stages.train.stacking.equality import difference, same


def local_class(scale: float, inside: float = 0.0) -> Any:
    """Make a class inside of a function, as `fn_build` may."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(2, 1)
            self.inside = inside

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(x) * scale

    return Net()


def test_weights_and_dropout_may_differ() -> None:
    one = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.1), nn.BatchNorm1d(3))
    other = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.7), nn.BatchNorm1d(3))
    assert difference(one, other) is None


def test_a_class_made_again_for_every_job_is_the_same_class() -> None:
    assert difference(local_class(2.0), local_class(2.0)) is None


@pytest.mark.parametrize(
    ("one", "other", "reported"),
    [
        (nn.Linear(2, 3), nn.Linear(2, 4), "the shapes of the Linear"),
        (nn.Linear(2, 3), nn.Linear(2, 3, bias=False), "the shapes of the Linear"),
        (nn.LeakyReLU(0.1), nn.LeakyReLU(0.2), "negative_slope of the LeakyReLU"),
        (nn.Sequential(nn.ReLU()), nn.Sequential(nn.Tanh()), "the class of the ReLU '0'"),
        (nn.Sequential(nn.ReLU()), nn.Sequential(), "the names of their layers"),
        (nn.BatchNorm1d(2), nn.BatchNorm1d(2, momentum=0.5), "momentum of the BatchNorm1d"),
        (local_class(2.0), local_class(3.0), "the class of the Net"),
        (local_class(2.0, 1.0), local_class(2.0, 4.0), "inside of the Net"),
    ],
)
def test_what_computes_something_else_is_reported(
    one: nn.Module, other: nn.Module, reported: str
) -> None:
    assert difference(one, other) == reported


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (functools.partial(torch.sum, dim=1), functools.partial(torch.sum, dim=1), True),
        (functools.partial(torch.sum, dim=1), functools.partial(torch.sum, dim=0), False),
        (nn.HuberLoss(delta=1.0), nn.HuberLoss(delta=2.0), False),
        (nn.BCELoss(weight=torch.ones(1)), nn.BCELoss(weight=torch.ones(1)), True),
        (nn.BCELoss(weight=torch.ones(1)), nn.BCELoss(weight=torch.zeros(1)), False),
        ({"a": [1, (2.0, "x")]}, {"a": [1, (2.0, "x")]}, True),
        (1, 1.0, False),
        (object(), object(), False),
    ],
)
def test_values_are_compared_by_content(one: Any, other: Any, *, expected: bool) -> None:
    assert same(one, other) == expected


def test_functions_are_compared_by_code_and_by_what_they_close_over() -> None:
    def times(factor: float) -> Any:
        return lambda x: x * factor

    assert same(times(2.0), times(2.0))
    assert not same(times(2.0), times(3.0))
    assert not same(times(2.0), lambda x: x + 2.0)
    assert not same([times(1.0), times(2.0)], [times(1.0), times(3.0)])
