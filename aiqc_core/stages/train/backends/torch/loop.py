"""One training of `utils.pytorch.fit`: batches, epochs, scores, stop and resume."""

from __future__ import annotations

import io
import logging
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from aiqc_core.stages.train.backends.torch import process, saving
from aiqc_core.stages.train.backends.torch.loss import loss_of, measure
from aiqc_core.stages.train.backends.torch.outputs import called
from aiqc_core.stages.train.hooks import checkpoint, observer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor, nn
    from torch.optim import Optimizer
    from torchmetrics import Metric

    from aiqc_core.stages.train.backends.torch.callbacks import Callback
    from aiqc_core.stages.train.backends.torch.loss import Loss
    from aiqc_core.stages.train.hooks.checkpoint import Checkpoint
    from aiqc_core.stages.train.hooks.observer import Observer

logger = logging.getLogger(__name__)

SCORING_BATCH = 4096


@dataclass(frozen=True, slots=True)
class Samples:
    """Features and labels of one split, on the model's device."""

    features: tuple[Tensor, ...]
    label: Tensor

    def __len__(self) -> int:
        return len(self.label)

    def batches(self, size: int, order: Tensor | None = None) -> Iterator[list[Tensor]]:
        """Yield the features and, last, the label of each batch, as views.

        `order` holds positions of the samples, which are gathered once, not batch by batch.
        """
        parts = (*self.features, self.label)
        if order is not None:
            parts = tuple(part.index_select(0, order) for part in parts)
        return map(list, zip(*(part.split(size) for part in parts), strict=True))


@dataclass(slots=True)
class Training:
    """One training, and how far it is.

    Attributes:
        splits: `{"": training samples, "val_": evaluation samples}`, the latter where given.
        bounds: start and stop of each batch of an epoch, from 0 without gaps.
        metrics: `{name in the history: metric}`, this training's own.
        observer: gets every epoch, and may stop the training.
        kept: where the state is kept in case the process is killed.
        history: `{name: a value an epoch}`, filled as it goes.
        evaluates: whether the optimizer's step takes a function that evaluates the loss.
    """

    model: nn.Module
    loser: Loss
    optimizer: Optimizer
    splits: dict[str, Samples]
    epochs: int
    bounds: list[tuple[int, int]]
    metrics: dict[str, Metric]
    callbacks: Sequence[Callback]
    observer: Observer | None = field(default_factory=observer.active)
    kept: Checkpoint | None = field(default_factory=checkpoint.active)
    history: dict[str, list[float]] = field(default_factory=dict)
    evaluates: bool = False

    @property
    def batch_size(self) -> int:
        """Samples of every batch but the last."""
        return self.bounds[0][1]

    def run(self) -> None:
        """Train to the end, from the checkpoint of a killed Job where there is one."""
        kept = self.kept
        data = None if kept is None else kept.read()
        if data is not None and not self._is_resumed(data):
            logger.warning("The checkpoint is of another training: this one starts over.")
        while len(self.history.get("loss", ())) < self.epochs:
            self._epoch()
            if self.ends_with(self._scores()):
                return
            if kept is not None and kept.due():
                kept.write(self._packed())

    def ends_with(self, scores: dict[str, float]) -> bool:
        """Note an epoch's scores; say whether a callback or the pruner stops the training."""
        for name, value in scores.items():
            self.history.setdefault(name, []).append(value)
        # All are asked, as each may want every epoch.
        stops = [callback.epoch(self.history) for callback in self.callbacks]
        stopped = any(stops)
        if self.observer is None:
            return stopped
        is_last = len(self.history["loss"]) >= self.epochs
        pruned = self.observer.epoch(self.history, is_last=is_last, by_callback=stopped)
        return pruned or stopped

    def forget(self) -> None:
        """Undo what `ends_with` noted, so that the training can start over."""
        self.history.clear()
        if self.observer is not None:
            self.observer.forget()

    def _packed(self) -> bytes:
        """Return model, optimizer, history and generators, which load without running code."""
        buffer = io.BytesIO()
        state = {
            "of": self._signature(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "history": self.history,
            "generators": process.generators(),
        }
        torch.save(saving.plain(state, "the training's state", arrays=True), buffer)
        return buffer.getvalue()

    def _is_resumed(self, data: bytes) -> bool:
        """Go back to where `_packed` was called; False where the bytes are of another training.

        What a model or an optimizer keeps outside of its state dict is not restored.
        """
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        if state["of"] != self._signature():
            return False
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.history.update(state["history"])
        process.restore(state["generators"])
        return True

    def _signature(self) -> dict[str, Any]:
        """Return what distinguishes trainings that must not go on from each other's state."""
        return {
            "model": {n: list(value.shape) for n, value in self.model.state_dict().items()},
            "optimizer": type(self.optimizer).__name__,
            "samples": {
                prefix: [list(part.shape) for part in (*samples.features, samples.label)]
                for prefix, samples in self.splits.items()
            },
            "bounds": [list(bound) for bound in self.bounds],
        }

    def measured(self, prefix: str, loss: float, output: Tensor) -> dict[str, float]:
        """Return the scores of a split by their names in the history."""
        scores = {"loss": loss} | measure(self.metrics, output, self.splits[prefix].label)
        return {prefix + name: value for name, value in scores.items()}

    def _epoch(self) -> None:
        model, loser, train = self.model, self.loser, self.splits[""]
        model.train()
        # Drawn on the CPU on every device, so that the order is the same everywhere.
        order = torch.randperm(len(train))[: self.bounds[-1][1]].to(train.label.device)
        clear = _clearing(self.optimizer)
        for *features, label in train.batches(self.batch_size, order):

            def learn(features: list[Tensor] = features, label: Tensor = label) -> Tensor:
                clear()
                try:
                    output = called(model, features)
                except ValueError as error:
                    if len(label) > 1:
                        raise
                    raise ValueError(
                        "the last batch has one sample, which the model cannot train on: "
                        f"{error}. Use allow_singleSample=False, or another batch_size."
                    ) from error
                loss = loss_of(loser, output, label)
                loss.backward()
                return loss

            self._step(learn)

    def _step(self, learn: Callable[[], Tensor]) -> None:
        """Learn from a batch; let an optimizer such as LBFGS evaluate the loss itself."""
        if not self.evaluates:
            learn()
            try:
                self.optimizer.step()
            except (AssertionError, RuntimeError, TypeError, ValueError) as error:
                if "closure" not in str(error).lower():
                    raise
                self.evaluates = True
        if self.evaluates:
            self.optimizer.step(learn)  # type: ignore[arg-type] # torch takes tensors too

    def _scores(self) -> dict[str, float]:
        outputs = {p: whole_output(self.model, samples) for p, samples in self.splits.items()}
        losses = {p: split_loss(self.loser, o, self.splits[p]) for p, o in outputs.items()}
        numbers = torch.stack(list(losses.values())).tolist()  # the device is asked once an epoch
        scores: dict[str, float] = {}
        for (prefix, output), loss in zip(outputs.items(), numbers, strict=True):
            scores |= self.measured(prefix, loss, output)
        return scores


def whole_output(model: nn.Module, samples: Samples) -> Tensor:
    """Return the model's output for all samples, in eval mode and without gradients."""
    was_training = model.training
    model.eval()
    with torch.no_grad():
        parts = [called(model, features) for *features, _ in samples.batches(SCORING_BATCH)]
    model.train(was_training)
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def split_loss(loser: Loss, output: Tensor, samples: Samples) -> Tensor:
    """Return the loss over all samples at once: a mean of means would weigh classes wrongly."""
    with torch.no_grad():
        return loss_of(loser, output, samples.label).mean()


def _clearing(optimizer: Optimizer) -> Callable[[], None]:
    """Return what `optimizer.zero_grad` does, without the checks it repeats at every step."""
    own = getattr(optimizer.zero_grad, "__func__", None)
    if own is not torch.optim.Optimizer.zero_grad:
        return optimizer.zero_grad
    parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def clear() -> None:
        for parameter in parameters:
            parameter.grad = None

    return clear


def on_device(features: Any, label: Tensor, device: torch.device) -> Samples:
    """Pair one feature or several with the label; raise ValueError for unequal lengths."""
    listed = (features,) if isinstance(features, torch.Tensor) else tuple(features)
    counts = {len(part) for part in (*listed, label)}
    if len(counts) != 1:
        raise ValueError(f"features and label have {sorted(counts)} samples; they must pair.")
    return Samples(tuple(f.to(device) for f in listed), label.to(device))


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
