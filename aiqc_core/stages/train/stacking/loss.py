"""Compute the loss of each model of a stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from aiqc_core.stages.train.backends.torch.loss import (
    APART,
    SMALLEST,
    CategoricalLoss,
    kind_by_values,
    kind_of,
    paired,
)
from aiqc_core.stages.train.backends.torch.outputs import last_activation
from aiqc_core.stages.train.outputs import LOGS, PROBABILITIES

if TYPE_CHECKING:
    from torch import Tensor

    from aiqc_core.stages.train.backends.torch.loss import Loss


def losses(loser: Loss, outputs: Tensor, labels: Tensor) -> Tensor:
    """Return `(K,)` losses of outputs `(K, samples, …)`, each as `loss_of` gives it.

    Raises:
        RuntimeError: the loss decides by values, draws random numbers, or gives several numbers.
        ValueError: shapes that would broadcast.
    """
    if isinstance(loser, CategoricalLoss) and type(loser) is CategoricalLoss:
        return _categorical(outputs, labels, loser.outputs)
    if isinstance(loser, nn.BCELoss) and _is_plain(loser):
        return _binary(loser, outputs, labels)
    each = torch.func.vmap(lambda o, y: loser(o, paired(o, y, loser)), randomness="error")
    found = each(outputs, labels)
    if found.ndim != 1:
        raise RuntimeError(f"the loss gives {tuple(found.shape[1:])} numbers a batch, not one")
    return found


def _is_plain(loser: nn.BCELoss) -> bool:
    return type(loser) is nn.BCELoss and loser.weight is None and loser.reduction == "mean"


def _binary(loser: Loss, outputs: Tensor, labels: Tensor) -> Tensor:
    """Return BCE; where a model diverged, its own is NaN and those of the others are not."""
    shape = paired(outputs[0], labels[0], loser).shape
    targets = labels.reshape(len(labels), *shape)
    lost = outputs.isnan()
    any_lost = bool(lost.any())
    filled = outputs.masked_fill(lost, 0.5) if any_lost else outputs
    each = functional.binary_cross_entropy(filled, targets, reduction="none")
    found = each.flatten(1).mean(dim=1)
    if not any_lost:
        return found
    return torch.where(lost.flatten(1).any(1), outputs.flatten(1).sum(1), found)


def _categorical(outputs: Tensor, labels: Tensor, known: str | None) -> Tensor:
    count, samples, classes = outputs.shape
    one_hot = labels.shape == outputs.shape
    target = labels.argmax(dim=2) if one_hot else labels.reshape(count, samples)
    flat, target = outputs.reshape(-1, classes), target.reshape(-1).long()

    def of_probabilities() -> Tensor:
        logs = flat.clamp(min=SMALLEST).log()
        found = functional.nll_loss(logs, target, reduction="none")
        totals = flat.sum(dim=1)
        lost = (totals.detach().view(count, samples) - 1).abs() > APART
        rows = lost.any(dim=1).repeat_interleave(samples)
        return torch.where(rows, found + totals.clamp(min=SMALLEST).log(), found)

    def of_logits() -> Tensor:
        return functional.cross_entropy(flat, target, reduction="none")

    last = last_activation(outputs)
    if last in {PROBABILITIES, LOGS} or known is not None:
        probable = [kind_of(outputs, known) == PROBABILITIES] * count
    else:
        probable = [kind_by_values(each, last) == PROBABILITIES for each in outputs.detach()]
    if all(probable):
        found = of_probabilities()
    elif not any(probable):
        found = of_logits()
    else:
        which = torch.tensor(probable, device=flat.device).repeat_interleave(samples)
        found = torch.where(which, of_probabilities(), of_logits())
    return found.view(count, samples).mean(dim=1)
