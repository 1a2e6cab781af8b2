"""Samples in memory, and the batches that an epoch cuts them into."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor


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
