"""Find out which Jobs can be stacked: by their specifications, then by what they train."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from aiqc_core.stages.train.stacking.equality import difference, same
from aiqc_core.stages.train.stacking.model import DROPOUTS
from aiqc_core.stages.train.stacking.optimizers import FLAGS, RULES
from aiqc_core.storage import cache

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from aiqc_core.stages.train.backends.torch.loop import Training
    from aiqc_core.stages.train.spec import JobSpec

MOST_TOGETHER = 32
ALONE = "no other Job here differs from it only in numbers, with samples of the same shapes"
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
OPTIMIZER_HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")
LEFT_OUT = ("capturable", "differentiable")


def groups(specs: Sequence[JobSpec]) -> tuple[list[list[int]], dict[int, str]]:
    """Sort Jobs into groups that `run_stacked` may train together.

    Those of a group differ in numbers only (hyperparameters, seed, repeat, fold). Numbers that
    change the architecture or the batches are found later, when the models are there; Jobs that
    share their whole numbers are put side by side.

    Returns:
        Groups of indices, 2 to 32 each; and for every other index why it trains by itself.
    """
    alike: dict[Hashable, list[int]] = {}
    reasons: dict[int, str] = {}
    shapes: dict[str, Any] = {}
    for index, spec in enumerate(specs):
        keeps, kept = spec.checkpoint_seconds is not None, spec.checkpoint
        if spec.library != "pytorch":
            reasons[index] = f"library {spec.library!r}: only PyTorch's models can be stacked"
        elif keeps:
            reasons[index] = "checkpoint_seconds: a Job that keeps checkpoints trains by itself"
        elif kept is not None and Path(kept).exists():
            reasons[index] = "it resumes from its checkpoint"
        else:
            alike.setdefault(_spec_common(spec, shapes), []).append(index)
    found: list[list[int]] = []
    for members in alike.values():
        if len(members) == 1:
            reasons[members[0]] = ALONE
        else:
            # Numbers that may be sizes, as neurons and epochs: stacks often differ in them.
            members.sort(
                key=lambda index: sorted(
                    (name, value)
                    for name, value in specs[index].hyperparameters.items()
                    if isinstance(value, int) and _is_number(value)
                )
            )
            parts = math.ceil(len(members) / MOST_TOGETHER)  # of nearly equal size
            edges = [len(members) * i // parts for i in range(parts + 1)]
            found += [members[start:stop] for start, stop in itertools.pairwise(edges)]
    return found, reasons


def _spec_common(spec: JobSpec, shapes: dict[str, Any]) -> Hashable:
    """Return what Jobs of a group have in common."""
    names = ["label", *(f"feature_{i}" for i in range(spec.feature_count))]
    splits = [split for split in (spec.key_train, spec.key_evaluation) if split is not None]
    for folder in (spec.samples[split] for split in splits):
        if folder not in shapes:
            shapes[folder] = tuple(cache.load(folder, name).shape for name in names)
    chosen = {n: None if _is_number(v) else v for n, v in spec.hyperparameters.items()}
    return (
        tuple(sorted((role, payload or b"") for role, payload in spec.functions.items())),
        spec.analysis_type, spec.threads, spec.pruner,
        tuple((split, shapes[spec.samples[split]]) for split in splits),
        json.dumps(chosen, sort_keys=True, default=repr),
    )  # fmt: skip


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def why_alone(training: Training) -> str | None:
    """Return why a training cannot be stacked with any other; None where it can."""
    kept, loser = training.kept, training.loser
    trained = isinstance(loser, nn.Module) and any(p.requires_grad for p in loser.parameters())
    reasons = (
        (kept is not None and kept.seconds is not None, "it keeps checkpoints"),
        (not torch.is_grad_enabled(), "gradients are disabled around fit"),
        (trained, "the loss has parameters of its own"),
        *_model(training.model),
        *_optimizer(training),
    )
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
