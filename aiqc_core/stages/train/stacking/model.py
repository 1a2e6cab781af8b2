"""K models of one architecture as one, by `torch.func`: parameters stacked, calls by `vmap`."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor
    from torch.optim import Optimizer

DROPOUTS = (nn.Dropout, nn.Dropout2d)


@dataclass(frozen=True, slots=True)
class Row:
    """The state of one trained model."""

    flat: Tensor  # what its optimizer moves, `(D,)`
    gradient: Tensor  # of the last batch, `(D,)`
    buffers: dict[str, Tensor]
    generator: Tensor  # the state of torch's random generator


class Stack:
    """Copies of models of one architecture, and what training changes of them.

    What the optimizers move is one matrix `flat` `(K, D)`, its columns in the order of the
    optimizer's groups; every other parameter and buffer is stacked by itself. `states` are those
    of torch's random generator in each Job.
    """

    def __init__(
        self, models: Sequence[nn.Module], optimizer: Optimizer, states: Sequence[Tensor]
    ) -> None:
        self.generators = [torch.Generator() for _ in states]
        self.reset(states)
        self.base = copy.deepcopy(models[0])
        for name, layer in list(self.base.named_modules()):
            if isinstance(layer, DROPOUTS):
                layers = [model.get_submodule(name) for model in models]
                parent, _, attribute = name.rpartition(".")
                stacked = StackedDropout(layers, self.generators)
                setattr(self.base.get_submodule(parent), attribute, stacked)
        names = {id(p): name for name, p in models[0].named_parameters()}
        self.names = [names[id(p)] for group in optimizer.param_groups for p in group["params"]]
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
        """Return the columns of `flat` of each parameter, as views."""
        return self.flat.split(self.widths, dim=1)

    def __call__(
        self, *features: Tensor, shared: bool = False, parts: Sequence[Tensor] | None = None
    ) -> Tensor:
        """Return outputs `(K, samples, …)` of such features, or `(samples, …)` where `shared`.

        `parts` are what the method of this name gave, for gradients by parameter.
        """
        columns = zip(self.names, parts or self.parts(), self.shapes, strict=True)
        moved = {name: part.view(-1, *shape) for name, part, shape in columns}
        call = torch.func.vmap(
            lambda tensors, *x: torch.func.functional_call(self.base, tensors, x),
            in_dims=(0, *((None if shared else 0,) * len(features))),
            randomness="error",
        )
        return call(moved | self.resting | self.buffers, *features)

    def keep(self, models: list[int]) -> None:
        """Continue with some of the models."""
        self.flat = self.flat.detach()[models].requires_grad_()
        self.resting = {name: values[models] for name, values in self.resting.items()}
        self.buffers = {name: values[models] for name, values in self.buffers.items()}
        self.generators[:] = [self.generators[k] for k in models]  # of the dropouts too
        for layer in self.base.modules():
            if isinstance(layer, StackedDropout):
                layer.keep(models)

    def reset(self, states: Sequence[Tensor]) -> None:
        """Put the generators into these states."""
        for generator, state in zip(self.generators, states, strict=True):
            generator.set_state(state)

    def views(self, row: Tensor) -> list[Tensor]:
        """Cut a row `(D,)` into tensors of the parameters' shapes."""
        parts = row.split(self.widths)
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def write(self, model: nn.Module, row: Row) -> None:
        """Write the state of a model into it, with the gradients of its last batch."""
        own, buffers = dict(model.named_parameters()), dict(model.named_buffers())
        values, gradients = self.views(row.flat), self.views(row.gradient)
        with torch.no_grad():
            for name, value, gradient in zip(self.names, values, gradients, strict=True):
                own[name].copy_(value)
                own[name].grad = gradient.clone()
            for name, value in row.buffers.items():
                buffers[name].copy_(value)
        model.train()

    def row(self, index: int, gradient: Tensor) -> Row:
        """Copy the state of one model; `gradient` is `(K, D)`."""
        buffers = {name: values[index].clone() for name, values in self.buffers.items()}
        state = self.generators[index].get_state()
        return Row(self.flat.detach()[index].clone(), gradient[index].clone(), buffers, state)


class StackedDropout(nn.Module):
    """Dropout that draws for each model of a stack with its own probability and generator.

    The draws are those of torch's dropout on the CPU (ATen `Dropout.cpp`): one Bernoulli number an
    element, or a channel for `Dropout2d`, from the model's generator; none where p is 0 or 1.
    """

    def __init__(self, layers: Sequence[nn.Module], generators: list[torch.Generator]) -> None:
        super().__init__()
        self.ps = [float(getattr(layer, "p", 0.0)) for layer in layers]
        self.generators = generators
        self.by_channel = isinstance(layers[0], nn.Dropout2d)

    def keep(self, models: list[int]) -> None:
        """Continue with some of the models."""
        self.ps = [self.ps[k] for k in models]

    def forward(self, x: Tensor) -> Tensor:
        """Drop, in train mode."""
        if not self.training or not any(self.ps):
            return x
        return _ForAll.apply(x, self._mask)  # type: ignore[no-any-return]

    def _mask(self, x: Tensor) -> Tensor:
        """Return the factors, `(K, batch, …)` as `x` or with axes of 1."""
        shape = x.shape[:3] + (1,) * (x.ndim - 3) if self.by_channel else x.shape
        mask = torch.empty(shape, dtype=x.dtype)
        for own, p, generator in zip(mask, self.ps, self.generators, strict=True):
            if 0 < p < 1:
                own.bernoulli_(1 - p, generator=generator).div_(1 - p)
            else:
                own.fill_(1 - p)
        return mask


class _ForAll(torch.autograd.Function):
    """Under `vmap`, multiply the values of all models by one mask."""

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
