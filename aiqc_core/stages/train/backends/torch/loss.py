"""Losses and metrics over labels and outputs in equal shapes, which are never broadcast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from aiqc_core.errors import TrainingError
from aiqc_core.stages.train import outputs as meaning
from aiqc_core.stages.train.backends.arrays import as_array
from aiqc_core.stages.train.backends.torch.outputs import last_activation
from aiqc_core.stages.train.outputs import LOGITS, LOGS, PROBABILITIES, SHARES

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor
    from torchmetrics import Metric

    Loss = Callable[[Tensor, Tensor], Tensor]

CLASS_INDEX_LOSSES = (nn.CrossEntropyLoss, nn.NLLLoss)
NUMERIC_LOSSES = (  # which take no whole numbers, as labels that the user made may be
    nn.BCELoss, nn.BCEWithLogitsLoss, nn.CrossEntropyLoss, nn.HuberLoss, nn.KLDivLoss, nn.L1Loss,
    nn.MSELoss, nn.SmoothL1Loss,
)  # fmt: skip
SMALLEST = 1e-7
APART = 0.05  # from a sum of 1, beyond the rounding of every type


class CategoricalLoss(nn.Module):
    """Cross-entropy over probabilities or logits, whichever the model gives.

    `outputs` says which (`'probabilities'`, `'logits'`, `'log-probabilities'`); else the model's
    last operation does; else rows in [0, 1] that sum to 1 are probabilities. Sigmoids count as
    probabilities, each divided by their sum. The label is ordinal `(samples, 1)` or one-hot
    `(samples, classes)`.
    """

    takes_class_index = True

    def __init__(self, outputs: str | None = None) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, output: Tensor, label: Tensor) -> Tensor:
        """Return the mean loss of a batch."""
        target = _class_index(label, one_hot=label.shape == output.shape)
        if kind_of(output, self.outputs) != PROBABILITIES:  # the softmax undoes a logarithm too
            return nn.functional.cross_entropy(output, target)
        found = nn.functional.nll_loss(output.clamp(min=SMALLEST).log(), target)
        totals = output.sum(dim=1)
        if ((totals.detach() - 1).abs() > APART).any():
            found = found + totals.clamp(min=SMALLEST).log().mean()
        return found


def kind_of(output: Tensor, known: str | None = None) -> str:
    """Return what outputs `(samples, classes)` mean; `known` is what was stated or seen before.

    A model may give probabilities in eval mode only, so a last layer without activation does not.
    """
    last = last_activation(output)
    if known is not None and not (known == PROBABILITIES and last == LOGITS):
        return known
    return kind_by_values(output, last)


def kind_by_values(output: Tensor, last: str | None) -> str:
    """Return what outputs mean by their values and the model's last steps."""
    if last in {PROBABILITIES, LOGS}:
        return last
    values = as_array(output).reshape(-1, output.shape[-1])
    is_share = meaning.in_unit_interval if last == SHARES else meaning.are_distributions
    return PROBABILITIES if is_share(values) else LOGITS


def paired(output: Tensor, label: Tensor, loser: object) -> Tensor:
    """Return the label as the loss compares it; raise ValueError where shapes would broadcast."""
    takes = isinstance(loser, CLASS_INDEX_LOSSES) or getattr(loser, "takes_class_index", False)
    if takes and _has_classes(output) and label.numel() == len(label):
        return _class_index(label, one_hot=False)
    if isinstance(loser, nn.NLLLoss) and output.shape == label.shape:
        return label.argmax(dim=1)  # one-hot, which CrossEntropyLoss takes as it is
    if output.shape == label.shape:
        return label
    if [n for n in output.shape if n != 1] == [n for n in label.shape if n != 1]:
        return label.reshape(output.shape)
    raise ValueError(
        f"the model's output has shape {tuple(output.shape)}, the label {tuple(label.shape)}: a "
        "loss would broadcast them silently. Let the model end with label_shape outputs."
    )


def loss_of(loser: Loss, output: Tensor, label: Tensor) -> Tensor:
    """Return the loss of outputs; NaN for a model that diverged, where the loss would raise.

    Raises:
        ValueError: label and output have shapes that would broadcast, or outputs are no
            probabilities where the loss takes such.
        TrainingError: the loss takes more than these two, or gives no tensor.
    """
    target, name = paired(output, label, loser), getattr(loser, "__name__", type(loser).__name__)
    wide = torch.promote_types(output.dtype, target.dtype)
    if isinstance(loser, NUMERIC_LOSSES) and target.shape == output.shape:
        target = target.to(wide)
    if output.dtype != target.dtype and target.is_floating_point():
        output, target = output.to(wide), target.to(wide)
    try:
        found = loser(output, target)
    except TypeError as error:
        if "positional argument" not in str(error):
            raise
        raise TrainingError(
            f"the loss ({name}) is called with (output, label): {error}. Let fn_lose "
            "return a function of these two."
        ) from error
    except RuntimeError as error:
        if output.isnan().any():  # BCELoss refuses NaN, though nothing but divergence is wrong
            return output.sum()
        if not isinstance(loser, nn.BCELoss) or (output.min() >= 0 and output.max() <= 1):
            raise
        raise ValueError(
            f"BCELoss takes probabilities, and the model gives values in [{output.min():.4g}, "
            f"{output.max():.4g}]. End the model with nn.Sigmoid(), or let fn_lose return "
            "nn.BCEWithLogitsLoss()."
        ) from error
    if not isinstance(found, torch.Tensor):
        raise TrainingError(
            f"the loss ({name}) gives {type(found).__name__}. Let it return a tensor of "
            "one number, through which gradients flow: no float, tuple or array."
        )
    return found


def measure(metrics: dict[str, Metric], output: Tensor, label: Tensor) -> dict[str, float]:
    """Return each metric over all samples of a split; raise ValueError for several numbers."""
    values: dict[str, float] = {}
    for name, metric in metrics.items():
        metric.reset()
        metric.update(*_for_metric(metric, output, label))
        value = metric.compute()
        if not isinstance(value, torch.Tensor) or value.numel() != 1:
            raise ValueError(
                f"metrics: {name} gives {value}, where history takes one number an epoch. Use "
                "another average, or a metric of one number."
            )
        values[name] = float(value)
    return values


def _has_classes(values: Tensor) -> bool:
    return values.ndim > 1 and values.shape[1] > 1


def _class_index(label: Tensor, *, one_hot: bool) -> Tensor:
    return (label.argmax(dim=1) if one_hot else label.reshape(len(label))).long()


def _for_metric(metric: Metric, output: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Return output and label as a metric takes them: classes as whole numbers."""
    if not type(metric).__module__.startswith("torchmetrics.classification"):
        return output, paired(output, label, None)
    if _has_classes(output):
        if "Multilabel" in type(metric).__name__:
            return output, label.long()
        return output, _class_index(label, one_hot=_has_classes(label))
    return output.reshape(-1), label.reshape(-1).long()
