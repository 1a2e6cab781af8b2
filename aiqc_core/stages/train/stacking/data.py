"""Hold the samples of the trainings of a stack, once where they are the same for all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from aiqc_core.stages.train.backends.torch.batches import Samples


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
