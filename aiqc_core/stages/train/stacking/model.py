"""K models of one architecture as one, by `torch.func`: parameters stacked, calls by `vmap`."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from aiqc_core.stages.train.stacking.dropout import Generators, StackedDropout
from aiqc_core.stages.train.stacking.equality import DROPOUTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn
    from torch.optim import Optimizer


@dataclass(frozen=True, slots=True)
class Row:
    """What one model has become.

    Attributes:
        flat: what its optimizer moves, `(D,)`.
        gradient: of the last batch, `(D,)`.
        buffers: by name.
        generator: the state of torch's random generator.
    """

    flat: Tensor
    gradient: Tensor
    buffers: dict[str, Tensor]
    generator: Tensor


class Stack:
    """The models and what training changes of them.

    What the optimizers move is one matrix `flat` `(K, D)`, its columns in the order of the
    optimizer's groups; every other parameter and buffer is stacked by itself.

    Args:
        models: of the same architecture; they are left alone until `write`.
        optimizers: theirs.
        states: of torch's random generator in each Job.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        optimizers: Sequence[Optimizer],
        states: Sequence[Tensor],
    ) -> None:
        """Stack copies of all tensors."""
        self.generators = Generators(states)
        self.base = copy.deepcopy(models[0])
        self._swap_dropouts(models)
        moved = [id(p) for group in optimizers[0].param_groups for p in group["params"]]
        names = {id(p): name for name, p in models[0].named_parameters()}
        self.names = [names[key] for key in moved]
        own = [dict(model.named_parameters()) for model in models]
        self.shapes = [own[0][name].shape for name in self.names]
        self.widths = [shape.numel() for shape in self.shapes]
        rows = [torch.cat([p[name].detach().reshape(-1) for name in self.names]) for p in own]
        self.flat = torch.stack(rows).requires_grad_()
        resting = [name for name in own[0] if name not in set(self.names)]
        self.resting = {name: torch.stack([p[name].detach() for p in own]) for name in resting}
        buffers = [dict(model.named_buffers()) for model in models]
        self.buffers = {name: torch.stack([b[name] for b in buffers]) for name in buffers[0]}

    def __len__(self) -> int:
        return len(self.flat)

    def parts(self) -> tuple[Tensor, ...]:
        """Return the columns of `flat` that are each parameter's, as views."""
        return self.flat.split(self.widths, dim=1)

    def __call__(
        self, *features: Tensor, shared: bool = False, parts: Sequence[Tensor] | None = None
    ) -> Tensor:
        """Return outputs `(K, samples, …)`.

        Args:
            features: `(K, samples, …)` each.
            shared: they are `(samples, …)`, the same for all models.
            parts: what `parts` gives, for gradients by parameter.
        """
        moved = {
            name: part.view(-1, *shape)
            for name, part, shape in zip(
                self.names, parts or self.parts(), self.shapes, strict=True
            )
        }
        call = torch.func.vmap(
            lambda tensors, *x: torch.func.functional_call(self.base, tensors, x),
            in_dims=(0, *((None if shared else 0,) * len(features))),
            randomness="error",
        )
        return call(moved | self.resting | self.buffers, *features)

    def keep(self, models: list[int]) -> None:
        """Go on with some of the models only."""
        self.flat = self.flat.detach()[models].requires_grad_()
        self.resting = {name: values[models] for name, values in self.resting.items()}
        self.buffers = {name: values[models] for name, values in self.buffers.items()}
        self.generators.each = [self.generators.each[k] for k in models]
        for layer in self.base.modules():
            if isinstance(layer, StackedDropout):
                layer.keep(models)

    def views(self, row: Tensor) -> list[Tensor]:
        """Cut a row `(D,)` into tensors of the parameters' shapes."""
        parts = row.split(self.widths)
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def write(self, model: nn.Module, row: Row) -> None:
        """Give a model its values, and the gradients of its last batch."""
        own, buffers = dict(model.named_parameters()), dict(model.named_buffers())
        with torch.no_grad():
            for name, value, gradient in zip(
                self.names, self.views(row.flat), self.views(row.gradient), strict=True
            ):
                own[name].copy_(value)
                own[name].grad = gradient.clone()
            for name, value in row.buffers.items():
                buffers[name].copy_(value)
        model.train()

    def row(self, index: int, gradient: Tensor) -> Row:
        """Copy what one model has become; `gradient` is `(K, D)`."""
        buffers = {name: values[index].clone() for name, values in self.buffers.items()}
        state = self.generators.each[index].get_state()
        return Row(self.flat.detach()[index].clone(), gradient[index].clone(), buffers, state)

    def _swap_dropouts(self, models: Sequence[nn.Module]) -> None:
        for name, layer in list(self.base.named_modules()):
            if isinstance(layer, DROPOUTS):
                layers = [model.get_submodule(name) for model in models]
                parent, _, attribute = name.rpartition(".")
                holder = self.base.get_submodule(parent)
                setattr(holder, attribute, StackedDropout(layers, self.generators))
