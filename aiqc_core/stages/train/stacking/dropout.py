"""Dropout whose masks each model of a stack draws from its own generator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor


class Generators:
    """The random generators of the models of a stack; shared by its dropout layers."""

    def __init__(self, states: Sequence[Tensor]) -> None:
        """Begin from the states that torch's generator had in each Job."""
        self.each = [torch.Generator() for _ in states]
        self.set(states)

    def set(self, states: Sequence[Tensor]) -> None:
        """Put the generators into other states."""
        for generator, state in zip(self.each, states, strict=True):
            generator.set_state(state)

    def states(self) -> list[Tensor]:
        """Return the states that they are in."""
        return [generator.get_state() for generator in self.each]


class StackedDropout(nn.Module):
    """Dropout with another probability, and draws of its own, for every model of a stack.

    The draws are those of torch's dropout on the CPU (ATen `Dropout.cpp`): one Bernoulli number an
    element, or a channel, from the model's generator; none where p is 0 or 1.

    Args:
        layers: this layer of each model.
        generators: of the models.
        by_channel: drop whole channels, as `Dropout2d`.
    """

    def __init__(self, layers: Sequence[nn.Module], generators: Generators) -> None:
        """Read each model's probability."""
        super().__init__()
        self.ps = [float(getattr(layer, "p", 0.0)) for layer in layers]
        self.generators = generators
        self.by_channel = isinstance(layers[0], nn.Dropout2d)

    def keep(self, models: list[int]) -> None:
        """Go on with some of the models only."""
        self.ps = [self.ps[k] for k in models]

    def forward(self, x: Tensor) -> Tensor:
        """Drop, in train mode."""
        if not self.training or not any(self.ps):
            return x
        return _ForAll.apply(x, self._mask)  # type: ignore[no-any-return]

    def _mask(self, x: Tensor) -> Tensor:
        """Return what to multiply with, `(K, batch, …)` as `x` or with axes of 1."""
        shape = x.shape[:3] + (1,) * (x.ndim - 3) if self.by_channel else x.shape
        mask = torch.empty(shape, dtype=x.dtype)
        for own, p, generator in zip(mask, self.ps, self.generators.each, strict=True):
            if 0 < p < 1:
                own.bernoulli_(1 - p, generator=generator).div_(1 - p)
            else:
                own.fill_(1 - p)
        return mask


class _ForAll(torch.autograd.Function):
    """Under `vmap`: multiply the models' values by a mask for all of them together."""

    generate_vmap_rule = False

    @staticmethod
    def forward(x: Tensor, mask_of: Callable[[Tensor], Tensor]) -> Tensor:  # type: ignore[override]
        """Refuse values that are the same for all models: each needs a mask of its own."""
        del x, mask_of
        raise RuntimeError("dropout of what does not depend on the model's samples or weights")

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Save nothing: autograd sees the multiplication itself."""

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], x: Tensor, mask_of: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, int]:
        """Multiply; `x` holds all models along one axis."""
        del info
        values = x.movedim(in_dims[0] or 0, 0)
        return values * mask_of(values), 0
