"""Step the optimizers of many models at once, each with numbers of its own.

The parameters of K models are the rows of one matrix `(K, D)`. The formulas are those of
`torch.optim`'s single-tensor functions (2.13), where a number is a column `(K, 1)`, or `(K, D)`
for several groups of parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor
    from torch.optim import Optimizer

FLAGS = ("nesterov", "amsgrad", "centered", "maximize", "decoupled_weight_decay")
NUMBERS = ("lr", "weight_decay", "eps", "momentum", "dampening", "alpha", "beta1", "beta2")


class Stepper:
    """The optimizers of K models as one: of one class, with the same flags and sizes of groups.

    The columns of `parameters` `(K, D)` are in the order of the groups' parameters.
    """

    def __init__(self, optimizers: Sequence[Optimizer], parameters: Tensor) -> None:
        groups = [optimizer.param_groups for optimizer in optimizers]
        self.parameters = parameters
        self.widths = [sum(p.numel() for p in group["params"]) for group in groups[0]]
        self.flags = {flag: bool(groups[0][0].get(flag, False)) for flag in FLAGS}
        self.numbers = {
            name: np.array([[_number(group, name) for group in own] for own in groups])
            for name in NUMBERS
        }
        self.rule = RULES[type(optimizers[0])]
        counts = [[int(own.get("step", 0)) for own in o.state.values()] for o in optimizers]
        self.steps = np.array([[max(own, default=0)] for own in counts])
        rows: dict[str, list[Tensor]] = {}
        for optimizer in optimizers:
            own = [optimizer.state[p] for p in _parameters(optimizer) if p in optimizer.state]
            for name, value in own[0].items() if own else ():
                if name != "step" and value is not None:
                    row = torch.cat([part[name].reshape(-1) for part in own])
                    rows.setdefault(name, []).append(row)
        self.state = {name: torch.stack(parts) for name, parts in rows.items()}
        self._columns: dict[str, Tensor] = {}

    def step(self, gradient: Tensor) -> None:
        """Move all models by one step; `gradient` is `(K, D)`."""
        self.steps += 1
        with torch.no_grad():
            self.rule(self, -gradient if self.flags["maximize"] else gradient)

    def keep(self, models: list[int], parameters: Tensor) -> None:
        """Continue with some of the models and their parameters."""
        self.parameters, self.steps = parameters, self.steps[models]
        self.numbers = {name: values[models] for name, values in self.numbers.items()}
        self.state = {name: values[models] for name, values in self.state.items()}
        self._columns = {}

    def any(self, name: str) -> bool:
        """Say whether a number is other than 0 for some model."""
        return bool(self.numbers[name].any())

    def column(self, name: str) -> Tensor:
        """Return a number of each model, in a shape that multiplies the matrix."""
        if name not in self._columns:
            self._columns[name] = self.spread(self.numbers[name])
        return self._columns[name]

    def spread(self, values: NDArray[np.float64]) -> Tensor:
        """Turn `(K, groups)` into `(K, 1)`, or into `(K, D)` for several groups."""
        tensor = torch.as_tensor(values).to(self.parameters)
        if tensor.shape[1] == 1:
            return tensor
        return tensor.repeat_interleave(torch.tensor(self.widths), dim=1)

    def correction(self, name: str) -> NDArray[np.float64]:
        """Return `1 - beta ** steps`, which undoes that averages start from 0."""
        return 1 - self.numbers[name] ** self.steps

    def zeros(self, name: str) -> Tensor:
        """Return a part of the state, which starts from 0."""
        if name not in self.state:
            self.state[name] = torch.zeros_like(self.parameters)
        return self.state[name]

    def row(self, model: int) -> dict[str, Any]:
        """Return the state of one model's optimizer: rows `(D,)`, and the steps it has done."""
        rows: dict[str, Any] = {name: values[model].clone() for name, values in self.state.items()}
        if self.rule is not _sgd:  # which counts none
            rows["step"] = torch.tensor(float(self.steps[model, 0]), dtype=torch.float32)
        return rows


def write_state(
    optimizer: Optimizer, row: dict[str, Any], views: Callable[[Tensor], list[Tensor]]
) -> None:
    """Write a row of `Stepper.row`, cut by `views`, into the optimizer of its model."""
    parameters = _parameters(optimizer)
    for name, values in row.items():
        parts = [values] * len(parameters) if name == "step" else views(values)
        for parameter, part in zip(parameters, parts, strict=True):
            optimizer.state[parameter][name] = part.clone()


def _number(group: dict[str, Any], name: str) -> float:
    if name in {"beta1", "beta2"}:
        return float(group.get("betas", (0.0, 0.0))[name == "beta2"])
    return float(group.get(name, 0.0))


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _decayed(s: Stepper, gradient: Tensor) -> Tensor:
    if not s.any("weight_decay"):
        return gradient
    return torch.addcmul(gradient, s.parameters, s.column("weight_decay"))


def _sgd(s: Stepper, gradient: Tensor) -> None:
    step = _decayed(s, gradient)
    if s.any("momentum"):
        momentum = s.column("momentum")
        buffer = s.state.get("momentum_buffer")
        if buffer is None:
            buffer = s.state["momentum_buffer"] = step.clone()
        else:
            buffer.mul_(momentum).add_(step * (1 - s.column("dampening")))
        step = torch.addcmul(step, buffer, momentum) if s.flags["nesterov"] else buffer
    s.parameters.addcmul_(step, s.column("lr"), value=-1)


def _adam(s: Stepper, gradient: Tensor) -> None:
    if s.flags["decoupled_weight_decay"]:
        s.parameters.mul_(1 - s.column("lr") * s.column("weight_decay"))
    else:
        gradient = _decayed(s, gradient)
    average, square = s.zeros("exp_avg"), s.zeros("exp_avg_sq")
    average.lerp_(gradient, 1 - s.column("beta1"))
    square.mul_(s.column("beta2")).add_(gradient.square().mul_(1 - s.column("beta2")))
    if s.flags["amsgrad"]:
        square = torch.maximum(s.zeros("max_exp_avg_sq"), square)
        s.state["max_exp_avg_sq"] = square
    root = square.sqrt().div_(s.spread(np.sqrt(s.correction("beta2")))).add_(s.column("eps"))
    rate = s.spread(-s.numbers["lr"] / s.correction("beta1"))
    s.parameters.addcdiv_(average * rate, root)


def _adamax(s: Stepper, gradient: Tensor) -> None:
    gradient = _decayed(s, gradient)
    average, largest = s.zeros("exp_avg"), s.zeros("exp_inf")
    average.lerp_(gradient, 1 - s.column("beta1"))
    size = gradient.abs().add_(s.column("eps"))
    torch.maximum(largest.mul_(s.column("beta2")), size, out=largest)
    rate = s.spread(-s.numbers["lr"] / s.correction("beta1"))
    s.parameters.addcdiv_(average * rate, largest)


def _rmsprop(s: Stepper, gradient: Tensor) -> None:
    gradient = _decayed(s, gradient)
    alpha = s.column("alpha")
    square = s.zeros("square_avg")
    square.mul_(alpha).add_(gradient.square().mul_(1 - alpha))
    if s.flags["centered"]:
        mean = s.zeros("grad_avg")
        mean.lerp_(gradient, 1 - alpha)
        square = torch.addcmul(square, mean, mean, value=-1)
    root = square.sqrt().add_(s.column("eps"))
    if s.any("momentum"):
        buffer = s.zeros("momentum_buffer").mul_(s.column("momentum")).addcdiv_(gradient, root)
        s.parameters.addcmul_(buffer, s.column("lr"), value=-1)
    else:
        s.parameters.addcdiv_(gradient * -s.column("lr"), root)


RULES: dict[type[Optimizer], Callable[[Stepper, Tensor], None]] = {
    torch.optim.SGD: _sgd,
    torch.optim.Adam: _adam,
    torch.optim.AdamW: _adam,
    torch.optim.Adamax: _adamax,
    torch.optim.RMSprop: _rmsprop,
}
