"""The training loop of `aiqc_core.utils.pytorch.fit`."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor, nn
    from torch.optim import Optimizer
    from torchmetrics import Metric

SCORING_BATCH = 4096
CLASS_INDEX_LOSSES = (torch.nn.CrossEntropyLoss, torch.nn.NLLLoss)


@dataclass(frozen=True, slots=True)
class Samples:
    """Features and labels of one split, on the model's device."""

    features: tuple[Tensor, ...]
    label: Tensor

    def __len__(self) -> int:
        return len(self.label)

    def in_order(self, order: Tensor) -> Samples:
        """Return the samples in another order, features and label alike."""
        return Samples(tuple(f[order] for f in self.features), self.label[order])

    def part(self, start: int, stop: int) -> Samples:
        """Return a run of samples, as views."""
        return Samples(tuple(f[start:stop] for f in self.features), self.label[start:stop])


def fit(  # noqa: PLR0913, PLR0917 - the reference's signature
    model: nn.Module,
    loser: Callable[[Tensor, Tensor], Tensor],
    optimizer: Optimizer,
    train_features: Tensor | Sequence[Tensor],
    train_label: Tensor,
    eval_features: Tensor | Sequence[Tensor] | None,
    eval_label: Tensor | None,
    epochs: int = 30,
    batch_size: int = 5,
    enforce_sameSize: bool = True,  # noqa: FBT001, FBT002, N803
    allow_singleSample: bool = False,  # noqa: FBT001, FBT002, N803
    metrics: Sequence[Metric] | None = None,
) -> tuple[dict[str, list[float]], nn.Module]:
    """Train a PyTorch model on samples held in memory.

    Each epoch shuffles features and labels together, trains batch by batch in train mode, then
    scores both splits in eval mode without gradients. The history therefore holds the loss of the
    finished epoch, not a running mean over it.

    Args:
        model: takes a batch of each feature as its positional arguments.
        loser: the loss. `CrossEntropyLoss` and `NLLLoss` take ordinal labels `(samples, 1)` as
            class indices; for every other loss label and output get equal shapes.
        optimizer: over the model's parameters.
        train_features: `(samples, …)`, or a list of such.
        train_label: `(samples, width)`.
        eval_features: as `train_features`; None without an evaluation split.
        eval_label: as `train_label`.
        epochs: passes over the samples.
        batch_size: samples a step.
        enforce_sameSize: drop a last, smaller batch, unless it is the only one.
        allow_singleSample: keep a batch of one sample, which BatchNorm cannot train on.
        metrics: torchmetrics; copies of them are reset for every split and epoch.

    Returns:
        The history `{loss, val_loss, <MetricName>, val_<MetricName>}`, a value an epoch, and the
        model.

    Raises:
        ValueError: label and output have shapes that would broadcast, or no batch is left.
    """
    if epochs < 1:
        raise ValueError(f"epochs: {epochs}; give at least 1.")
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    train = _on_device(train_features, train_label, device)
    splits = {"": train}
    if eval_features is not None and eval_label is not None:
        splits["val_"] = _on_device(eval_features, eval_label, device)
    bounds = batch_bounds(
        len(train), batch_size, same_size=enforce_sameSize, single_sample=allow_singleSample
    )
    # Copies, so that neither epochs nor splits nor Jobs share a metric's state.
    measured = [copy.deepcopy(metric).to(device) for metric in metrics or ()]
    history: dict[str, list[float]] = {}
    for _ in range(epochs):
        _train_epoch(model, loser, optimizer, train, bounds)
        for prefix, samples in splits.items():
            for name, value in _score(model, loser, samples, measured).items():
                history.setdefault(prefix + name, []).append(value)
    return history, model


def batch_bounds(
    samples: int, batch_size: int, *, same_size: bool, single_sample: bool
) -> list[tuple[int, int]]:
    """Return the start and stop of each batch of an epoch.

    >>> batch_bounds(11, 5, same_size=False, single_sample=True)
    [(0, 5), (5, 10), (10, 11)]
    """
    if batch_size < 1:
        raise ValueError(f"batch_size: {batch_size}; give at least 1.")
    bounds = [(s, min(s + batch_size, samples)) for s in range(0, samples, batch_size)]
    if same_size and bounds and bounds[-1][1] - bounds[-1][0] < batch_size:
        if len(bounds) > 1:
            bounds.pop()
        else:
            warnings.warn(
                f"batch_size: {batch_size} is more than the {samples} training samples; they are "
                "used as one batch.",
                stacklevel=3,
            )
    if not single_sample:
        bounds = [(start, stop) for start, stop in bounds if stop - start > 1]
    if not bounds:
        raise ValueError(
            f"batch_size: no batch left of {samples} samples with batch_size={batch_size}. Use "
            "more samples, or allow_singleSample=True."
        )
    return bounds


def paired(output: Tensor, label: Tensor, loser: object) -> Tensor:
    """Return the label in the shape that the loss compares with the output.

    Raises:
        ValueError: the shapes differ in more than axes of length 1: a loss would broadcast them.
    """
    if _takes_class_index(loser) and _is_ordinal(output, label):
        return label.reshape(len(label)).long()
    if isinstance(loser, torch.nn.NLLLoss) and output.shape == label.shape:
        return label.argmax(dim=1)  # one-hot, which CrossEntropyLoss takes as it is
    if output.shape == label.shape:
        return label
    if [n for n in output.shape if n != 1] == [n for n in label.shape if n != 1]:
        return label.reshape(output.shape)
    raise ValueError(
        f"the model's output has shape {tuple(output.shape)}, the label {tuple(label.shape)}: a "
        "loss would broadcast them silently. Let the model end with label_shape outputs."
    )


def mean_loss(
    model: nn.Module, loser: Callable[[Tensor, Tensor], Tensor], samples: Samples
) -> float:
    """Return the loss over all samples, in eval mode and without gradients."""
    return _score(model, loser, samples, [])["loss"]


def loss_of(loser: Callable[[Tensor, Tensor], Tensor], output: Tensor, label: Tensor) -> Tensor:
    """Return the loss of outputs; NaN for a model that diverged, where the loss would raise.

    Raises:
        ValueError: label and output have shapes that would broadcast, or outputs are no
            probabilities where the loss takes such.
    """
    paired_label = paired(output, label, loser)
    try:
        return loser(output, paired_label)
    except RuntimeError as error:
        if output.isnan().any():  # BCELoss refuses NaN, though nothing but divergence is wrong
            return output.sum()
        if not isinstance(loser, torch.nn.BCELoss) or (output.min() >= 0 and output.max() <= 1):
            raise
        raise ValueError(
            f"BCELoss takes probabilities, and the model gives values in [{output.min():.4g}, "
            f"{output.max():.4g}]. End the model with nn.Sigmoid(), or let fn_lose return "
            "nn.BCEWithLogitsLoss()."
        ) from error


def _takes_class_index(loser: object) -> bool:
    return isinstance(loser, CLASS_INDEX_LOSSES) or getattr(loser, "takes_class_index", False)


def _is_ordinal(output: Tensor, label: Tensor) -> bool:
    return output.ndim > 1 and output.shape[1] > 1 and label.numel() == len(label)


def _on_device(features: Any, label: Tensor, device: torch.device) -> Samples:
    listed = (features,) if isinstance(features, torch.Tensor) else tuple(features)
    counts = {len(part) for part in (*listed, label)}
    if len(counts) != 1:
        raise ValueError(f"features and label have {sorted(counts)} samples; they must pair.")
    return Samples(tuple(f.to(device) for f in listed), label.to(device))


def _train_epoch(
    model: nn.Module,
    loser: Callable[[Tensor, Tensor], Tensor],
    optimizer: Optimizer,
    train: Samples,
    bounds: list[tuple[int, int]],
) -> None:
    model.train()
    order = torch.randperm(len(train), device="cpu").to(train.label.device)
    shuffled = train.in_order(order)
    for start, stop in bounds:
        batch = shuffled.part(start, stop)
        optimizer.zero_grad()
        loss_of(loser, _forward(model, batch), batch.label).backward()
        optimizer.step()


def _forward(model: nn.Module, batch: Samples) -> Tensor:
    try:
        return model(*batch.features)
    except ValueError as error:
        if len(batch) > 1:
            raise
        raise ValueError(
            f"the last batch has one sample, which the model cannot train on: {error}. "
            "Use allow_singleSample=False, or another batch_size."
        ) from error


def _score(
    model: nn.Module,
    loser: Callable[[Tensor, Tensor], Tensor],
    samples: Samples,
    metrics: Sequence[Metric],
) -> dict[str, float]:
    was_training = model.training
    model.eval()
    for metric in metrics:
        metric.reset()
    with torch.no_grad():
        # Of all outputs at once: a mean of means is not the loss where classes have weights.
        output = torch.cat([model(*batch.features) for batch in _in_batches(samples)])
        loss = loss_of(loser, output, samples.label).mean()
        for metric in metrics:
            metric.update(*_for_metric(metric, output, samples.label))
    model.train(was_training)
    scores = {"loss": loss.item()}
    return scores | {type(metric).__name__: float(metric.compute()) for metric in metrics}


def _in_batches(samples: Samples) -> Iterator[Samples]:
    for start in range(0, len(samples), SCORING_BATCH):
        yield samples.part(start, min(start + SCORING_BATCH, len(samples)))


def _for_metric(metric: Metric, output: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Return output and label as a metric takes them: classes as whole numbers."""
    if not type(metric).__module__.startswith("torchmetrics.classification"):
        return output, paired(output, label, None)
    if output.ndim > 1 and output.shape[1] > 1:
        one_hot = label.ndim > 1 and label.shape[1] > 1
        multilabel = "Multilabel" in type(metric).__name__
        if multilabel:
            return output, label.long()
        return output, (label.argmax(dim=1) if one_hot else label.reshape(len(label))).long()
    return output.reshape(-1), label.reshape(-1).long()
