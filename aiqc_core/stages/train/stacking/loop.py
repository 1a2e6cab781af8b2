"""Run several trainings of `utils.pytorch.fit` as one, as `Training.run` runs each.

What the stacked models compute is compared with what each computes by itself.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

from aiqc_core.stages.train.backends.torch import process
from aiqc_core.stages.train.backends.torch.loop import SCORING_BATCH
from aiqc_core.stages.train.backends.torch.loss import loss_of
from aiqc_core.stages.train.stacking.equality import difference, same
from aiqc_core.stages.train.stacking.loss import losses
from aiqc_core.stages.train.stacking.model import Stack
from aiqc_core.stages.train.stacking.optimizers import Stepper, write_state

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor, nn

    from aiqc_core.stages.train.backends.torch.loop import Samples, Training
    from aiqc_core.stages.train.stacking.model import Row


RELATIVE, ABSOLUTE = 1e-4, 1e-5


class NotAlikeError(Exception):
    """The stacked models compute something else."""


def train_together(trainings: Sequence[Training], states: Sequence[Tensor]) -> list[Tensor]:
    """Train models together, between which `rules.why_apart` finds no difference.

    Until the end only the histories are written: models, optimizers and gradients change when
    nothing can fail any more. `states` are those of torch's random generator in each Job; those
    after it are returned.

    Raises:
        NotAlikeError: the stacked models compute something else than each does by itself.
        RuntimeError: an operation that cannot be stacked.
    """
    together = _Together(trainings, states)
    check(together.stack, trainings, together.data[""])
    for _ in range(trainings[0].epochs):
        together.epoch()
        together.end_stopped(together.scores())
        if not together.live:
            break
    check_state(together.stack, trainings[0].model)
    return together.finish()


class _Together:
    """The trainings that go on; one that is stopped leaves the stack."""

    def __init__(self, trainings: Sequence[Training], states: Sequence[Tensor]) -> None:
        self.trainings = trainings
        self.stack = Stack([t.model for t in trainings], trainings[0].optimizer, states)
        self.stepper = Stepper([t.optimizer for t in trainings], self.stack.flat)
        self.data = {
            prefix: StackedSamples([t.splits[prefix] for t in trainings])
            for prefix in trainings[0].splits
        }
        self.gradient = torch.zeros_like(self.stack.flat)
        self.live = list(range(len(trainings)))
        self.ended: dict[int, tuple[Row, dict[str, Any]]] = {}

    def epoch(self) -> None:
        """Pass once over the training samples, each model in its own order."""
        first, data, stack = self.trainings[0], self.data[""], self.stack
        stack.base.train()
        count = first.bounds[-1][1]
        orders = torch.stack(
            [torch.randperm(data.count, generator=g)[:count] for g in stack.generators]
        )
        for *features, label in data.batches(orders, first.batch_size):
            found = losses(first.loser, stack(*features), label)
            (self.gradient,) = torch.autograd.grad(found.sum(), stack.flat)
            self.stepper.step(self.gradient)

    def scores(self) -> list[dict[str, float]]:
        """Return the scores of each live model on every split."""
        first, count = self.trainings[0], len(self.live)
        scores: list[dict[str, float]] = [{} for _ in self.live]
        self.stack.base.eval()
        for prefix, data in self.data.items():
            size = max(1, SCORING_BATCH // count)
            with torch.no_grad():
                parts = [self.stack(*x, shared=data.shared) for x in data.in_order(size)]
                outputs = torch.cat(parts, dim=1)
                found = losses(first.loser, outputs, data.labels(count)).tolist()
            for position, index in enumerate(self.live):
                training = self.trainings[index]
                scores[position] |= training.measured(prefix, found[position], outputs[position])
        return scores

    def end_stopped(self, scores: list[dict[str, float]]) -> None:
        """Note the scores of an epoch, and end the trainings that are to stop."""
        each = enumerate(zip(self.live, scores, strict=True))
        leaving = [k for k, (index, own) in each if self.trainings[index].ends_with(own)]
        if leaving:
            self._end(leaving)

    def finish(self) -> list[Tensor]:
        """Write every model and optimizer; return the states of the generators."""
        self._end(list(range(len(self.live))))
        ended = [self.ended[index] for index in range(len(self.trainings))]
        for training, (row, state) in zip(self.trainings, ended, strict=True):
            self.stack.write(training.model, row)
            write_state(training.optimizer, state, self.stack.views)
        return [row.generator for row, _ in ended]

    def _end(self, leaving: list[int]) -> None:
        for k in leaving:
            self.ended[self.live[k]] = self.stack.row(k, self.gradient), self.stepper.row(k)
        staying = [k for k in range(len(self.live)) if k not in leaving]
        self.live = [self.live[k] for k in staying]
        self.gradient = self.gradient[staying]
        self.stack.keep(staying)
        self.stepper.keep(staying, self.stack.flat)
        for data in self.data.values():
            data.keep(staying)


class StackedSamples:
    """One split of K trainings, all of the same shapes.

    Attributes:
        shared: whether all have the same samples (another fold has others).
        parts: features and, last, the label: `(samples, …)` where shared, else
            `(K, samples, …)`.
    """

    def __init__(self, each: Sequence[Samples]) -> None:
        columns = list(zip(*((*s.features, s.label) for s in each), strict=True))
        self.count = len(each[0])
        self.shared = all(p is c[0] or torch.equal(c[0], p) for c in columns for p in c[1:])
        self.parts = [c[0] if self.shared else torch.stack(c) for c in columns]

    def keep(self, models: list[int]) -> None:
        """Continue with the samples of some of the models."""
        if not self.shared:
            self.parts = [part[models] for part in self.parts]

    def batches(self, orders: Tensor, size: int) -> Iterator[list[Tensor]]:
        """Yield batches `(K, size, …)` of the samples `orders` `(K, n)` of each model."""
        models = len(orders)
        if not self.shared:
            orders = orders + torch.arange(models)[:, None] * self.count
        flat = [p if self.shared else p.flatten(0, 1) for p in self.parts]
        for rows in orders.to(flat[0].device).split(size, dim=1):
            positions = rows.reshape(-1)
            yield [p.index_select(0, positions).unflatten(0, (models, -1)) for p in flat]

    def in_order(self, size: int) -> Iterator[list[Tensor]]:
        """Yield runs of the features, `(samples, …)` where shared, else `(K, samples, …)`."""
        axis = 0 if self.shared else 1
        yield from map(list, zip(*(p.split(size, axis) for p in self.parts[:-1]), strict=True))

    def labels(self, models: int) -> Tensor:
        """Return the labels `(K, samples, …)`."""
        label = self.parts[-1]
        return label.expand(models, *label.shape) if self.shared else label


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
            # torch's optimizers skip parameters without a gradient, `Stepper` does not.
            gradients = torch.autograd.grad(found.sum(), parts, allow_unused=True)
            unused = [name for name, g in zip(stack.names, gradients, strict=True) if g is None]
            if unused:
                raise NotAlikeError(f"the parameters {unused} get no gradient")
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
