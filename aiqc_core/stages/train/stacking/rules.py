"""Find out which trainings can be stacked, from their models, optimizers and samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from aiqc_core.stages.train.stacking.equality import difference, same
from aiqc_core.stages.train.stacking.model import DROPOUTS
from aiqc_core.stages.train.stacking.optimizers import FLAGS, RULES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiqc_core.stages.train.backends.torch.loop import Training

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
OPTIMIZER_HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")
LEFT_OUT = ("capturable", "differentiable")


def why_alone(training: Training) -> str | None:
    """Return why a training cannot be stacked with any other; None where it can."""
    reasons = (*_surroundings(training), *_model(training.model), *_optimizer(training))
    return next((reason for holds, reason in reasons if holds), None)


def why_apart(one: Training, other: Training) -> str | None:
    """Return why two trainings cannot be in one stack; None where they can."""
    for what, part in _COMMON.items():
        if part(one) != part(other):
            return f"other {what}"
    if differs := difference(one.model, other.model):
        return f"the models differ in {differs}"
    if not same(one.loser, other.loser):
        return "the losses differ, or cannot be compared"
    return None


def _surroundings(training: Training) -> Iterator[tuple[bool, str]]:
    kept, loser = training.kept, training.loser
    yield kept is not None and kept.seconds is not None, "it keeps checkpoints"
    yield not torch.is_grad_enabled(), "gradients are disabled around fit"
    trained = isinstance(loser, nn.Module) and any(p.requires_grad for p in loser.parameters())
    yield trained, "the loss has parameters of its own"


def _model(model: nn.Module) -> Iterator[tuple[bool, str]]:
    layers = list(model.modules())
    yield any(isinstance(m, nn.RNNBase) for m in layers), "torch.func cannot stack RNN layers"
    scripted = isinstance(model, torch.jit.ScriptModule) or hasattr(model, "_orig_mod")
    yield scripted, "the model is compiled"
    yield any(getattr(m, h, None) for m in layers for h in HOOKS), "the model has hooks"
    yield any(parametrize.is_parametrized(m) for m in layers), "the model has parametrizations"
    parameters = list(model.parameters())
    yield not parameters, "the model has no parameters"
    yield any(isinstance(p, nn.UninitializedParameter) for p in parameters), "the model is lazy"
    kinds = {(p.dtype, p.device) for p in parameters}
    yield len(kinds) > 1, "parameters of several types or devices"
    elsewhere = any(p.device.type != "cpu" for p in parameters)
    yield elsewhere and any(isinstance(m, DROPOUTS) for m in layers), "dropout on a device"


def _optimizer(training: Training) -> Iterator[tuple[bool, str]]:
    optimizer, name = training.optimizer, type(training.optimizer).__name__
    known = [kind.__name__ for kind in RULES]
    yield type(optimizer) not in RULES, f"the optimizer {name} is none of {known}"
    yield "step" in vars(optimizer), "its optimizer's step is wrapped, as by a scheduler"
    yield any(getattr(optimizer, h, None) for h in OPTIMIZER_HOOKS), "the optimizer has hooks"
    groups = optimizer.param_groups
    yield any(g.get(flag) for g in groups for flag in LEFT_OUT), "the optimizer is capturable"
    flags = [[bool(g.get(flag)) for flag in (*FLAGS, "momentum")] for g in groups]
    yield any(own != flags[0] for own in flags), "groups of parameters with other options"
    own = {id(p) for p in training.model.parameters() if p.requires_grad}
    moved = [p for g in groups for p in g["params"]]
    yield not own.issuperset(map(id, moved)), "the optimizer has other parameters than the model"
    stated = [bool(optimizer.state.get(p)) for p in moved]
    yield any(stated) and not all(stated), "the optimizer knows some of its parameters only"


def _samples(training: Training) -> Any:
    return {
        prefix: [(tuple(p.shape), p.dtype, p.device) for p in (*samples.features, samples.label)]
        for prefix, samples in training.splits.items()
    }


def _formula(training: Training) -> Any:
    """Return what decides on the optimizer's formula, and on the order of the parameters."""
    optimizer = training.optimizer
    state = next(iter(optimizer.state.values()), {})
    positions = {id(p): i for i, p in enumerate(training.model.parameters())}
    return (
        type(optimizer),
        [[positions[id(p)] for p in group["params"]] for group in optimizer.param_groups],
        [optimizer.param_groups[0].get(flag) for flag in FLAGS],
        [bool(g.get("momentum", 0)) for g in optimizer.param_groups],
        sorted(name for name, value in state.items() if value is not None),
    )


_COMMON: dict[str, Callable[[Training], Any]] = {
    "epochs": lambda t: t.epochs,
    "batches": lambda t: t.bounds,
    "shapes of samples": _samples,
    "number of parameters": lambda t: [tuple(p.shape) for p in t.model.parameters()],
    "optimizer": _formula,
}
