"""The samples of the trainings of a stack: held once where they are the same for all."""

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
        """Compare, and stack where they differ."""
        columns = [(*samples.features, samples.label) for samples in each]
        self.count = len(each[0])
        self.shared = all(
            a is b or torch.equal(a, b)
            for own in columns[1:]
            for a, b in zip(columns[0], own, strict=True)
        )
        self.parts = (
            list(columns[0])
            if self.shared
            else [torch.stack(same) for same in zip(*columns, strict=True)]
        )

    def keep(self, models: list[int]) -> None:
        """Go on with the samples of some of the models only."""
        if not self.shared:
            self.parts = [part[models] for part in self.parts]

    def batches(self, orders: Tensor, size: int) -> Iterator[list[Tensor]]:
        """Yield batches `(K, batch, …)`.

        Args:
            orders: `(K, n)`: in which order each model sees its samples.
            size: samples a batch.
        """
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
