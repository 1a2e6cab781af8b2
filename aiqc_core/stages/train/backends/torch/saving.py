"""Store the state of a PyTorch model and its optimizer as what loads without running code."""

from __future__ import annotations

import functools
import io
import pickle
import warnings
import zipfile
from collections import OrderedDict, deque
from numbers import Number
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.optim import swa_utils

from aiqc_core.errors import TrainingError
from aiqc_core.stages.train.backends import attributes
from aiqc_core.stages.train.backends.torch import outputs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

FORMAT = 1
LEAVES = {str, bytes, bool, int, float, complex, type(None)}
TENSORS = torch.Tensor | torch.Size | torch.dtype | torch.device
WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel, swa_utils.AveragedModel)
OWN = {
    "_parameters", "_buffers", "_modules", "training", "_non_persistent_buffers_set",
    "_is_full_backward_hook", "_compiled_call_impl",
}  # fmt: skip
HOOKS = ("_forward_", "_backward_", "_state_dict_", "_load_state_dict_")


def pack(model: Mapping[str, Any], optimizer: Mapping[str, Any]) -> bytes:
    """Return the states of model and optimizer as bytes, their numbers as Python's."""
    state = {
        "format": FORMAT,
        "model": plain(model, "the model's state_dict", arrays=False),
        "optimizer": plain(optimizer, "the optimizer's state_dict", arrays=True),
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def unpack(data: bytes) -> dict[str, Any]:
    """Return the states that `pack` wrote, on the CPU; raise TrainingError where it cannot."""
    unreadable = TrainingError(
        "the stored model cannot be read: its bytes are damaged, or hold code, which is never run."
    )
    if not zipfile.is_zipfile(io.BytesIO(data)):  # torch would try its older formats
        raise unreadable
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise unreadable from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        found = state.get("format") if isinstance(state, dict) else type(state).__name__
        raise TrainingError(
            f"the stored model has format {found!r}, this program reads {FORMAT}. Upgrade it."
        )
    return state


def keep(model: nn.Module, path: Path) -> Path:
    """Write the weights of a model to a file of this name, for `torch.load(file)`."""
    file = path.with_suffix(".pt")
    torch.save(model.state_dict(), file)
    return file


def plain(value: Any, place: str, *, arrays: bool) -> Any:
    """Return a state_dict, or a part of one, with the numbers of numpy and others as Python's.

    `place` names it in errors; `arrays` turns numpy's arrays to lists, else they are refused, as
    is with a TrainingError what cannot be stored without running code when it is loaded.
    """
    if isinstance(value, dict):
        made = {
            plain(k, place, arrays=arrays): plain(v, f"{place}[{k!r}]", arrays=arrays)
            for k, v in value.items()
        }
        if hasattr(value, "_metadata"):  # the versions by which modules read what they once wrote
            made = OrderedDict(made)
            made._metadata = value._metadata  # type: ignore[attr-defined]  # noqa: SLF001
        return made
    if isinstance(value, list | tuple | set | deque) and not isinstance(value, torch.Size):
        kind = type(value) if type(value) in {list, tuple, set} else list
        return kind(plain(v, f"{place}[{i}]", arrays=arrays) for i, v in enumerate(value))
    if isinstance(value, np.ndarray) and (arrays or value.ndim == 0):
        return plain(value.tolist(), place, arrays=arrays)
    return _plain_leaf(value, place)


def _plain_leaf(value: Any, place: str) -> Any:
    if isinstance(value, TENSORS) or type(value) in LEAVES:
        return value
    if isinstance(value, np.generic):
        return value.item()
    for base in (bool, int, float, str):  # an enumeration, say
        if isinstance(value, base):
            return base(value)
    if isinstance(value, Number) and not isinstance(value, complex):  # Decimal, Fraction
        return float(value)  # type: ignore[arg-type]
    raise TrainingError(
        f"{place} holds {type(value).__name__} ({str(value)[:60]}), which cannot be stored so "
        "that it loads without running code. Keep numbers, texts and tensors in it."
    )


def unwrapped(model: nn.Module, given: nn.Module | None) -> nn.Module:
    """Return the module inside wrappers such as `torch.compile` that pass on what it gives.

    A wrapper of the kind that `fn_build` made itself stays.
    """
    while type(model) is not type(given):
        name = "module" if isinstance(model, WRAPPERS) else "_orig_mod"  # of torch.compile
        inner = getattr(model, name, None)
        if not isinstance(inner, nn.Module):
            break
        model = inner
    return model


def sizes(model: nn.Module) -> dict[str, Any]:
    """Return the shape of each tensor of a model's state; None for what is no tensor."""
    return {
        name: tuple(value.shape) if isinstance(value, torch.Tensor) else None
        for name, value in model.state_dict().items()
    }


def states(model: nn.Module, wanted: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield states of a trained model that have the sizes `wanted`, likely ones first.

    They are those of the model, of each module in it, and, where parametrizations, pruning or
    fusing gave them other names, what its layers compute with.
    """
    yield from (each.state_dict() for each in model.modules() if sizes(each) == wanted)
    for module in model.modules():
        found: dict[str, Any] = {
            name: functools.reduce(
                lambda at, part: getattr(at, part, None), name.split("."), module
            )
            for name in wanted
        }
        if sizes(module) != wanted and all(
            isinstance(value, torch.Tensor) and tuple(value.shape) == wanted[name]
            for name, value in found.items()
        ):
            yield {name: value.detach().clone() for name, value in found.items()}


def beyond(model: nn.Module, wanted: Mapping[str, Any]) -> list[str]:
    """Return the names of weights that are not those of a module that fits."""
    fitting = next((each for each in model.modules() if sizes(each) == wanted), None)
    if fitting is None:
        return []
    known = {id(value) for value in fitting.state_dict(keep_vars=True).values()}
    return [name for name, v in model.state_dict(keep_vars=True).items() if id(v) not in known]


def misfit(model: nn.Module, wanted: dict[str, Any]) -> str:
    """Describe how the state of a trained model differs from the one that `fn_build` makes."""
    found, extra = sizes(model), beyond(model, wanted)
    if extra:
        found = wanted | dict.fromkeys(extra)
    parts: list[str] = []
    for words, names in (
        ("it lacks", [n for n in wanted if n not in found]),
        ("it has besides", [n for n in found if n not in wanted]),
        ("of other shape are", [n for n in found if n in wanted and found[n] != wanted[n]]),
    ):
        if names:
            more = f" and {len(names) - 4} more" if len(names) > 4 else ""  # noqa: PLR2004
            parts.append(f"{words} {', '.join(names[:4])}{more}")
    return "; ".join(parts)


def lost(trained: nn.Module, loaded: nn.Module) -> list[str]:
    """Return the state of a trained model that is not in its state_dict, for people."""
    modules, others = dict(trained.named_modules()), dict(loaded.named_modules())
    found = [
        f"layer {name!r} ({type(module).__name__}, put there in training)"
        for name, module in modules.items()
        if name and type(module) is not type(others.get(name))
    ]
    if found:
        return found
    for name, module in modules.items():
        twin = others[name]
        place = f" of {name!r}" if name else ""
        own, its = (
            {k: v for k, v in vars(each).items() if k not in OWN and not k.startswith(HOOKS)}
            for each in (module, twin)
        )
        found += [f"attribute {each}{place}" for each in attributes.changed(own, its)]
        for buffer in sorted(module._non_persistent_buffers_set):  # noqa: SLF001 - no other way
            pair = module._buffers.get(buffer), twin._buffers.get(buffer)  # noqa: SLF001
            if not attributes.equal(*pair):
                found.append(f"buffer {buffer!r}{place}, registered with persistent=False,")
    return found


def materialised(model: nn.Module, shapes: list[tuple[int, ...]]) -> nn.Module:
    """Return a model after its lazy layers have seen samples of these shapes."""
    if not any(isinstance(p, nn.UninitializedParameter) for p in model.parameters()):
        return model
    was_training = model.training
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that lazy layers are new
        outputs.called(model.eval(), [torch.zeros(2, *shape) for shape in shapes])
    return model.train(was_training)
