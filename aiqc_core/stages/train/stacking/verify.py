"""Check that stacked models compute what each computes by itself."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch

from aiqc_core.stages.train.backends.torch import process
from aiqc_core.stages.train.backends.torch.loss import loss_of
from aiqc_core.stages.train.stacking.equality import difference, same
from aiqc_core.stages.train.stacking.loss import losses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from aiqc_core.stages.train.backends.torch.loop import Training
    from aiqc_core.stages.train.stacking.loop import StackedSamples
    from aiqc_core.stages.train.stacking.model import Stack

RELATIVE, ABSOLUTE = 1e-4, 1e-5


class NotAlikeError(Exception):
    """The stacked models compute something else."""


def check(stack: Stack, trainings: Sequence[Training], data: StackedSamples) -> None:
    """Run one batch in train and in eval mode, stacked and model by model, and compare.

    The models and the generators stay as they are.

    Raises:
        NotAlikeError: outputs, losses, buffers, or the draws of random numbers differ, or a
            parameter gets no gradient.
    """
    states, buffers = [generator.get_state() for generator in stack.generators], stack.buffers
    first = trainings[0]
    order = torch.arange(data.count)[: first.batch_size].expand(len(stack), -1)
    *features, label = next(data.batches(order, first.batch_size))
    for mode in (True, False):
        stack.buffers = {name: values.clone() for name, values in buffers.items()}
        stack.base.train(mode)
        before, parts = process.generators(), stack.parts()
        outputs = stack(*features, parts=parts)
        found = losses(first.loser, outputs, label)
        if not same(process.generators(), before):
            raise NotAlikeError("the model or the loss draws random numbers outside of torch")
        if mode:
            _refuse_unused(stack.names, parts, found)
        for index, training in enumerate(trainings):
            own = [part[index] for part in features]
            expected, after = _alone(training.model, own, states[index], mode=mode)
            _compare("outputs", outputs[index], expected)
            _compare("losses", found[index], loss_of(training.loser, expected, label[index]))
            for name, value in after.items():
                _compare(f"buffers {name!r}", stack.buffers[name][index], value)
        stack.reset(states)
    stack.buffers = buffers
    check_state(stack, first.model)


def check_state(stack: Stack, model: nn.Module) -> None:
    """Raise NotAlikeError if the model keeps other numbers than parameters and buffers."""
    if changed := difference(model, stack.base):
        raise NotAlikeError(f"the model changes {changed} when it is called")


def _refuse_unused(names: Sequence[str], parts: Sequence[Tensor], found: Tensor) -> None:
    """Refuse parameters without a gradient: torch's optimizers skip them, `Stepper` does not."""
    gradients = torch.autograd.grad(found.sum(), parts, allow_unused=True)
    unused = [name for name, g in zip(names, gradients, strict=True) if g is None]
    if unused:
        raise NotAlikeError(f"the parameters {unused} get no gradient")


def _alone(
    model: nn.Module, features: list[Tensor], state: Tensor, *, mode: bool
) -> tuple[Tensor, dict[str, Tensor]]:
    twin = copy.deepcopy(model).train(mode)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.random.set_rng_state(state)
        return twin(*features), dict(twin.named_buffers())


def _compare(what: str, stacked: Tensor, alone: Tensor) -> None:
    size = float(alone.detach().abs().nan_to_num().max()) if alone.numel() else 0.0
    near = stacked.shape == alone.shape and torch.allclose(
        stacked.detach(), alone.detach(), RELATIVE, ABSOLUTE * max(size, 1.0), equal_nan=True
    )
    if not near:
        raise NotAlikeError(f"the {what} of the models differ when they are stacked")
