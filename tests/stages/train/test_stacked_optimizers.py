"""Steps of many optimizers at once against torch's own, one by one."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch.optim import SGD, Adam, Adamax, AdamW, RMSprop

from aiqc_core.stages.train.stacking.optimizers import Stepper, write_state

SHAPES = ((3, 2), (3,), (1, 3))
MODELS = 4


def parameters() -> list[torch.Tensor]:
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in SHAPES]


def flat(tensors: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([t.detach().reshape(-1) for t in tensors])


def views(row: torch.Tensor) -> list[torch.Tensor]:
    sizes = [torch.Size(shape).numel() for shape in SHAPES]
    return [part.view(shape) for part, shape in zip(row.split(sizes), SHAPES, strict=True)]


def steps_of(optimizers: list[Any], models: list[list[torch.Tensor]], steps: int) -> None:
    """Hold a Stepper against the optimizers themselves, for some random gradients."""
    stacked = torch.stack([flat(own) for own in models])
    twins = copy.deepcopy(list(zip(optimizers, models, strict=True)))
    stepper = Stepper(optimizers, stacked)
    for _ in range(steps):
        gradients = torch.randn_like(stacked)
        for own, row in zip(models, gradients, strict=True):
            for parameter, gradient in zip(own, views(row), strict=True):
                parameter.grad = gradient.clone()
        for optimizer in optimizers:
            optimizer.step()
        stepper.step(gradients)
    for index, (optimizer, own) in enumerate(zip(optimizers, models, strict=True)):
        torch.testing.assert_close(stacked[index], flat(own), rtol=1e-12, atol=1e-12)
        twin, _ = twins[index]
        write_state(twin, stepper.row(index), views)
        torch.testing.assert_close(twin.state_dict(), optimizer.state_dict())


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (SGD, {}),
        (SGD, {"momentum": 0.9}),
        (SGD, {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
        (SGD, {"momentum": 0.8, "dampening": 0.3, "maximize": True}),
        (Adam, {}),
        (Adam, {"weight_decay": 0.2, "betas": (0.8, 0.95), "eps": 1e-3}),
        (Adam, {"amsgrad": True}),
        (AdamW, {"weight_decay": 0.3}),
        (AdamW, {"amsgrad": True, "maximize": True}),
        (Adamax, {"weight_decay": 0.1}),
        (RMSprop, {}),
        (RMSprop, {"momentum": 0.5, "weight_decay": 0.1}),
        (RMSprop, {"centered": True, "alpha": 0.9}),
        (RMSprop, {"centered": True, "momentum": 0.7}),
    ],
)
@pytest.mark.parametrize("steps_before", [0, 2])
def test_steps_and_states_are_those_of_torch(
    kind: Any, options: dict[str, Any], steps_before: int
) -> None:
    """Each with a learning rate of its own; also where the optimizers have been used before."""
    models = [parameters() for _ in range(MODELS)]
    optimizers = [
        kind(own, **options | {"lr": 0.01 * 3**index}) for index, own in enumerate(models)
    ]
    for _ in range(steps_before):
        for own, optimizer in zip(models, optimizers, strict=True):
            for parameter in own:
                parameter.grad = torch.randn_like(parameter)
            optimizer.step()
    steps_of(optimizers, models, 4)


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW, Adamax, RMSprop])
def test_groups_of_parameters_and_models_have_numbers_of_their_own(kind: Any) -> None:
    models = [parameters() for _ in range(MODELS)]
    optimizers = [
        kind(
            [
                {"params": own[:1], "weight_decay": 0.1 * index},
                {"params": own[1:], "lr": 0.002 * (1 + index), "weight_decay": 0.0},
            ],
            lr=0.03,
        )
        for index, own in enumerate(models)
    ]
    steps_of(optimizers, models, 3)


def test_a_stepper_goes_on_with_those_that_are_kept() -> None:
    models = [parameters() for _ in range(MODELS)]
    optimizers = [Adam(own, lr=0.01 * (1 + index)) for index, own in enumerate(models)]
    whole = torch.stack([flat(own) for own in models])
    stepper, full = Stepper(optimizers, whole.clone()), Stepper(optimizers, whole.clone())
    gradients = torch.randn(2, *whole.shape, dtype=torch.float64)
    for each in (stepper, full):
        each.step(gradients[0])
    stepper.keep([1, 3], stepper.parameters[[1, 3]])
    stepper.step(gradients[1][[1, 3]])
    full.step(gradients[1])
    assert torch.equal(stepper.parameters, full.parameters[[1, 3]])
