"""Check the outputs of a PyTorch model, and find its last operation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import torch
from torch import nn

from aiqc_core import frames
from aiqc_core.errors import TrainingError
from aiqc_core.stages.train.backends import last_step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

SIGNED = 2**63
OTHER_TYPES = ({torch.float16}, {torch.bfloat16}, {torch.float64})
OTHER_TYPE = (
    r"have the same dtype|type \(.*\) should be the same|are not the same dtype|"
    r"expected scalar type|have scalar type|Found dtype|does not match weight dtype|"
    r"not implemented for '"
)
MODEL_ERRORS = AssertionError, AttributeError, IndexError, RuntimeError, TypeError, ValueError
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
    r"has no attribute 'backward'": "Let the loss be a tensor of one number: no float or tuple.",
    r"grad can be implicitly created only for scalar": (
        "The loss has a number a sample: leave out reduction='none', or take its mean."
    ),
    r"does not require grad and does not have a grad_fn": (
        "No gradient flows from the loss to a weight: all weights are frozen "
        "(requires_grad=False), or forward or the loss detaches them, or gives whole numbers or "
        "booleans, as argmax and > do. Let the model give probabilities, logits or numbers."
    ),
    r"empty parameter list": (
        "The model has no weights to learn. Give it a layer with weights, as nn.Linear, and keep "
        "layers in attributes or an nn.ModuleList."
    ),
    r"meta tensor|meta device|device meta": (
        "The model is on the device 'meta', which holds no numbers. Make it on the CPU: AIQC "
        "moves it to the device that trains."
    ),
    r"forward\(\) (missing|takes) \d+": (
        "A model gets one batch for each Feature, forward(x) or forward(x, z); a layer that takes "
        "more needs a module around it."
    ),
    r'missing the required "forward"': "Give the model a forward(self, x).",
    r"shapes cannot be multiplied|to have \d+ channels|[Ee]xpected \d[dD]|normalized_shape|"
    r"elements not \d+|must be equal to input_size|embedding dimension|Kernel size can't be": (
        "Features come in batches (samples, *features_shape), the shape that fn_build gets: make "
        "the layers for it, as nn.Linear(features_shape[0], …), and for nn.Conv1d of a table "
        "x.unsqueeze(1), one channel."
    ),
    r"'(tuple|list|dict|NoneType)' object has no attribute "
    r"'(shape|size|dim|ndim|dtype|reshape|view|sum|mean|detach|argmax)'": (
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
    if isinstance(error, TrainingError) or not isinstance(error, MODEL_ERRORS):
        return None
    text = frames.message_of(error)
    return next((hint for pattern, hint in WORDS.items() if re.search(pattern, text)), None)


def called(model: nn.Module, features: Sequence[Tensor]) -> Tensor:
    """Run a model over a batch, and check its output; an everyday mistake raises with advice.

    Where it fails on float32 and all its weights are of another type, as after `model.half()`, the
    features are converted to that.
    """
    try:
        output = _converting(model, features)
    except (AssertionError, IndexError, RuntimeError, TypeError, ValueError) as error:
        hint = advice(error)
        if hint is None:
            raise
        shapes = ", ".join(str(tuple(feature.shape)) for feature in features)
        raise TrainingError(
            f"the model ({type(model).__name__}) fails on its features {shapes}: {error}. {hint}"
        ) from error
    return checked(model, output, len(features[0]))


def _converting(model: nn.Module, features: Sequence[Tensor]) -> Any:
    if model not in _of_other_type:
        try:
            return model(*features)
        except (RuntimeError, ValueError) as error:
            kinds = {p.dtype for p in model.parameters() if p.is_floating_point()}
            if not re.search(OTHER_TYPE, str(error)) or kinds not in OTHER_TYPES:
                raise
    kind = next(p.dtype for p in model.parameters() if p.is_floating_point())
    output = model(*(feature.to(kind) for feature in features))
    _of_other_type.add(model)
    return output


def checked(model: nn.Module, output: Any, samples: int) -> Tensor:
    """Return a dense output of real numbers; raise TrainingError unless it has a row a sample."""
    name = type(model).__name__
    if not isinstance(output, torch.Tensor):
        raise TrainingError(f"the model ({name}) gives {_other(output)}")
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
    """Return what the steps behind an output say of it, by the graph of its gradients."""
    return None if output.grad_fn is None else last_step.meaning_of(output.grad_fn, _step)


def _step(step: Any) -> tuple[str, list[Any]]:
    name = re.sub(r"Backward\d*$", "", step.name()).lower()
    if name in {"softmax", "logsoftmax"}:
        dim, shape = int(step._saved_dim), step._saved_result.shape  # noqa: SLF001 - torch shows it
        dim -= 2 * SIGNED if dim >= SIGNED else 0
        if max(shape[dim % len(shape) + 1 :], default=1) > 1:
            name += " over samples"
    parents = [before for before, _ in step.next_functions if before is not None]
    if name in last_step.CHANGING:  # by a weight
        parents = [each for each in parents if not hasattr(each, "variable")]
    return name, parents


def _other(output: Any) -> str:
    """Return what a model gives that is no tensor, and what to do."""
    kind, one = type(output).__name__, "Let its forward return one tensor"
    if output is None:
        return "None. Let its forward return a tensor: does it lack a return statement?"
    if isinstance(output, dict):  # an output of transformers too
        keys = list(map(str, output))
        return f"a {kind} with {keys[:5]}. {one}, as output[{(keys or ['logits'])[0]!r}]."
    if isinstance(output, tuple | list):
        return (
            f"a {kind} of {len(output)}. {one}: wrap the layer in a module that takes it out, as "
            "`outputs, _ = self.lstm(x); return self.head(outputs[:, -1])`."
        )
    return f"{kind}. Let its forward return a torch.Tensor, through which gradients flow."
