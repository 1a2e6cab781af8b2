"""What a PyTorch model gives: that it is outputs at all, and what its last operation was."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import torch
from torch import nn

from aiqc_core import frames
from aiqc_core.errors import TrainingError
from aiqc_core.train.meaning import LOGITS, LOGS, PROBABILITIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

# What leaves the meaning of numbers as it is: their type, their shape, their limits.
PASSING = {
    "ToCopy", "ToDense", "ToSparse", "View", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze",
    "Clone", "Alias",
    "Clamp", "ClampMin", "ClampMax", "Permute", "Transpose", "T", "Movedim",
}  # fmt: skip
RESHAPING = PASSING - {
    "ToCopy",
    "ToDense",
    "ToSparse",
    "Clone",
    "Alias",
    "Clamp",
    "ClampMin",
    "ClampMax",
}
OVER_CLASSES = {"Softmax": PROBABILITIES, "LogSoftmax": LOGS}
SAYING = {"Sigmoid": PROBABILITIES, "Hardsigmoid": PROBABILITIES, "LogSigmoid": LOGS}
BARE = {"Addmm", "Linear", "MkldnnLinear", "Convolution"}  # layers without an activation
SIGNED = 2**63
OTHER_TYPES = ({torch.float16}, {torch.bfloat16}, {torch.float64})
OTHER_TYPE = (
    r"have the same dtype|type \(.*\) should be the same|are not the same dtype|"
    r"expected scalar type|have scalar type|Found dtype|does not match weight dtype"
)
_of_other_type: WeakSet[nn.Module] = WeakSet()  # models that take features of their own type alone
WORDS = {
    r"scalar types: Long, Int|index tensor of type LongTensor|used as indices must be long": (
        "Features come as float32; call .long() on what an nn.Embedding or an index takes."
    ),
    OTHER_TYPE: (
        "Features and labels come as float32. Let weights, inputs and labels agree: leave the "
        "model in float32, or convert in forward, as by x.to(self.layer.weight.dtype)."
    ),
    r"multi-target not supported|target with class probabilities|0D or 1D target": (
        "Labels come as float32 (samples, columns), and CrossEntropyLoss takes class indices "
        "(samples,): loser(output, y.reshape(-1).long()), which aiqc_core.utils.pytorch.fit does."
    ),
    r"'(tuple|list|dict|NoneType)' object has no attribute "
    r"'(shape|size|dim|ndim|dtype|reshape|view|sum|mean|backward|detach|argmax)'": (
        "A model, or a layer of it, gives something other than a tensor: nn.LSTM and nn.GRU give "
        "(outputs, state), for instance. Take the tensor out of it in forward."
    ),
    r"missing 1 required positional argument: 'closure'|requires? (a )?closure": (
        "The optimizer evaluates the loss itself: call optimizer.step(closure), which "
        "aiqc_core.utils.pytorch.fit does."
    ),
}


def advice(error: BaseException) -> str | None:
    """Return what to do about torch's own words for an everyday mistake; None for others."""
    if not isinstance(error, AttributeError | IndexError | RuntimeError | TypeError | ValueError):
        return None
    text = frames.message_of(error)
    return next((said for pattern, said in WORDS.items() if re.search(pattern, text)), None)


def called(model: nn.Module, features: Sequence[Tensor]) -> Tensor:
    """Run a model over a batch and make sure that it gives a tensor, a row a sample.

    Where it fails on features of float32 and all its weights are of another type, as after
    `model.half()`, the features are converted to that.

    Raises:
        TrainingError: it gives something else, or fails for an everyday mistake; with what to do.
    """
    try:
        output = _converting(model, features)
    except (IndexError, RuntimeError, ValueError) as error:
        hint = advice(error)
        if hint is None or isinstance(error, TrainingError):
            raise
        raise TrainingError(f"the model fails on its features: {error}. {hint}") from error
    return checked(model, output, len(features[0]))


def _converting(model: nn.Module, features: Sequence[Tensor]) -> Any:
    if model in _of_other_type:
        return model(*_converted(model, features))
    try:
        return model(*features)
    except (RuntimeError, ValueError) as error:
        kinds = {p.dtype for p in model.parameters() if p.is_floating_point()}
        if not re.search(OTHER_TYPE, str(error)) or kinds not in OTHER_TYPES:
            raise
    output = model(*_converted(model, features))
    _of_other_type.add(model)
    return output


def _converted(model: nn.Module, features: Sequence[Tensor]) -> list[Tensor]:
    kind = next(p.dtype for p in model.parameters() if p.is_floating_point())
    return [feature.to(kind) for feature in features]


def checked(model: nn.Module, output: Any, samples: int) -> Tensor:
    """Return the output of a model, dense, or say what is wrong with it.

    Raises:
        TrainingError: it is no tensor of real numbers, or has not a row a sample.
    """
    name = type(model).__name__
    if not isinstance(output, torch.Tensor):
        raise TrainingError(f"the model ({name}) gives {_kind(output)}. {_remedy(output)}")
    if output.ndim == 0 or len(output) != samples:
        shape = "a single number" if output.ndim == 0 else f"outputs {tuple(output.shape)}"
        raise TrainingError(
            f"the model ({name}) gives {shape} for {samples} samples. Let forward return a row a "
            "sample, (samples, …), the samples first: nn.LSTM, nn.GRU and nn.Transformer need "
            "batch_first=True for that, and a mean over all samples is for the loss."
        )
    if output.is_complex():
        raise TrainingError(
            f"the model ({name}) gives complex numbers. Let forward return output.real, "
            "output.abs(), or both as columns."
        )
    return output if output.layout is torch.strided else output.to_dense()


def last_activation(output: Tensor) -> str | None:
    """Return what the operation that made an output says of its meaning.

    The graph that gradients go back through names it, for layers and for functions in `forward`.

    Returns:
        `'probabilities'` of softmax and sigmoid, `'log-probabilities'` of their logarithms,
        `'logits'` of a layer without activation, None of others and without gradients.
    """
    step, reshaped, logs = output.grad_fn, False, 0
    while step is not None:
        name = re.sub(r"Backward\d*$", "", step.name())
        if name in {"Exp", "Log"}:
            logs += 1 if name == "Log" else -1
        elif name not in PASSING:
            break
        reshaped |= name in RESHAPING
        step = step.next_functions[0][0] if step.next_functions else None
    else:
        return None
    if name in OVER_CLASSES and not reshaped and not _over_last(step, output.ndim):
        return None
    kind = (SAYING | OVER_CLASSES).get(name)
    if logs == 0:
        return LOGITS if name in BARE else kind
    turned = {(PROBABILITIES, 1): LOGS, (LOGS, -1): PROBABILITIES}
    return None if kind is None else turned.get((kind, logs))


def _over_last(step: Any, axes: int) -> bool:
    dim = int(step._saved_dim)  # noqa: SLF001 - how torch shows it
    return (dim - 2 * SIGNED if dim >= SIGNED else dim) in {axes - 1, -1}


def _kind(output: Any) -> str:
    if output is None:
        return "None"
    if isinstance(output, dict):  # an output of transformers too
        return f"a {type(output).__name__} with {list(map(str, output))[:5]}"
    if isinstance(output, tuple | list):
        return f"a {type(output).__name__} of {len(output)}"
    return f"{type(output).__name__}"


def _remedy(output: Any) -> str:
    if output is None:
        return "Let its forward return a tensor: does it lack a return statement?"
    if isinstance(output, dict):
        key = next(iter(map(str, output)), "logits")
        return f"Let its forward return one tensor, as output[{key!r}]."
    if isinstance(output, tuple | list):
        return (
            "Let its forward return one tensor: wrap the layer in a module that takes it out, as "
            "`outputs, _ = self.lstm(x); return self.head(outputs[:, -1])`."
        )
    return "Let its forward return a torch.Tensor, through which gradients flow."
