"""`aiqc_core.utils.pytorch.fit`: train a PyTorch model without a loop of one's own."""

from __future__ import annotations

import copy
from collections import Counter
from typing import TYPE_CHECKING

import torch

from aiqc_core import counts
from aiqc_core.stages.train.backends.torch.loop import Training, batch_bounds, on_device
from aiqc_core.stages.train.hooks import fit_hook

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn
    from torch.optim import Optimizer
    from torchmetrics import Metric

    from aiqc_core.stages.train.backends.torch.callbacks import Callback
    from aiqc_core.stages.train.backends.torch.loss import Loss


def fit(  # noqa: PLR0913, PLR0917 - the reference's signature
    model: nn.Module,
    loser: Loss,
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
    callbacks: Sequence[Callback] | None = None,
) -> tuple[dict[str, list[float]], nn.Module]:
    """Train a PyTorch model on samples held in memory.

    Each epoch shuffles features and labels together, trains batch by batch in train mode, then
    scores both splits in eval mode without gradients. The history therefore holds the loss of the
    finished epoch, not a running mean over it.

    Inside a Job, every epoch goes to the log and to the pruner, a checkpoint is written when it is
    due, and a Job that was killed resumes from the last one; the result is bit for bit that of an
    uninterrupted run. With `run_jobs(stack=True)` it is trained together with others.

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
        metrics: torchmetrics of one number each; copies of them are reset for every split and
            epoch. A second one of a class is named `<MetricName>_2`.
        callbacks: asked at the end of every epoch whether to stop, as `MetricCutoff` of
            `utils.pytorch.TrainingCallback`.

    Returns:
        The history `{loss, val_loss, <MetricName>, val_<MetricName>}`, a value an epoch, and the
        model.

    Raises:
        ValueError: label and output have shapes that would broadcast, no batch is left, or a
            callback names a metric that the history lacks.
    """
    epochs = counts.whole("epochs", epochs, least=1, exact=False)
    batch_size = counts.whole("batch_size", batch_size, least=1, exact=False)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    splits = {"": on_device(train_features, train_label, device)}
    if eval_features is not None and eval_label is not None:
        splits["val_"] = on_device(eval_features, eval_label, device)
    bounds = batch_bounds(
        len(splits[""]), batch_size, same_size=enforce_sameSize, single_sample=allow_singleSample
    )
    named = _named(metrics or (), device)
    training = Training(
        model, loser, optimizer, splits, epochs, bounds, named, tuple(callbacks or ())
    )
    hook = fit_hook.active()
    if hook is None or not hook.train(training):
        training.run()
    return training.history, model


def _named(metrics: Sequence[Metric], device: torch.device) -> dict[str, Metric]:
    """Copy metrics, so that neither epochs nor splits nor Jobs share their state."""
    seen: Counter[str] = Counter()
    named: dict[str, Metric] = {}
    for metric in metrics:
        name = type(metric).__name__
        seen[name] += 1
        key = name if seen[name] == 1 else f"{name}_{seen[name]}"
        named[key] = copy.deepcopy(metric).to(device)
    return named
