"""PyTorch as a backend."""

from __future__ import annotations

import copy
from contextlib import contextmanager
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from aiqc_core.errors import TrainingError
from aiqc_core.stages.train.backends.arrays import as_array
from aiqc_core.stages.train.backends.base import PREDICTION_BATCH
from aiqc_core.stages.train.backends.torch import fit, process, saving
from aiqc_core.stages.train.backends.torch import loss as torch_loss
from aiqc_core.stages.train.backends.torch import outputs as torch_outputs
from aiqc_core.stages.train.backends.torch.loss import CategoricalLoss
from aiqc_core.stages.train.functions.capture import takes_model_first
from aiqc_core.stages.train.outputs import LOGITS, LOGS, PROBABILITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

REMEDY = (
    "Keep it in the state_dict: by self.register_buffer(name, torch.tensor(…)) in __init__, or as "
    "an nn.Parameter, and layers in an nn.ModuleList."
)
rehearses_hyperparameters = True
sizes, unwrapped, lost = saving.sizes, saving.unwrapped, saving.lost
prepared = rebuilt = saving.materialised
isolated, seed, drawing = process.isolated, process.seed, process.drawing
SETTINGS = process.SETTINGS
keep, advice = saving.keep, torch_outputs.advice
DEFAULT_RATE = 0.01
MADE = 4  # changes of a weight as a layer is made


def from_arrays(arrays: Sequence[NDArray[Any]]) -> list[Tensor]:
    """Return float32 copies."""
    return [torch.tensor(np.asarray(array, order="C"), dtype=torch.float32) for array in arrays]


def placed(part: Any) -> Any:
    """Move a module to the GPU that this process sees, unless user code has placed it."""
    on_cpu = isinstance(part, nn.Module) and _device(part).type == "cpu"
    return part.to("cuda") if on_cpu and torch.cuda.is_available() else part


def beside(model: nn.Module, samples: Sequence[Tensor]) -> list[Tensor]:
    """Return samples on the model's device, in float64 where that is the type of its weights.

    They stay float32 for narrower weights, as bfloat16 holds no whole number above 256.
    """
    return [each.to(_device(model), _dtype(model)) for each in samples]


def device_kind(model: nn.Module) -> str:
    """Return the type of the device that the model's parameters are on."""
    return _device(model).type


def default_lose(analysis_type: str, label_width: int, outputs: str | None = None) -> nn.Module:
    """Return BCE, cross-entropy over what the model gives, or the mean absolute error."""
    del label_width
    if analysis_type == "classification_binary":
        return nn.BCEWithLogitsLoss() if outputs == LOGITS else nn.BCELoss()
    if analysis_type == "classification_multi":
        return CategoricalLoss(outputs)
    return nn.L1Loss()


def optimizer(
    fn_optimize: Callable[..., Any] | None, model: nn.Module, hyperparameters: Mapping[str, Any]
) -> torch.optim.Optimizer:
    """Make the optimizer; `fn_optimize` may take the model, or return a function of parameters."""
    if fn_optimize is None:
        return torch.optim.Adamax(model.parameters(), lr=DEFAULT_RATE)
    first = (model,) if takes_model_first(fn_optimize) else ()
    made = fn_optimize(*first, **hyperparameters)
    if isinstance(made, torch.optim.lr_scheduler.LRScheduler | ReduceLROnPlateau):
        name = type(made).__name__
        raise TrainingError(
            f"fn_optimize: returned a schedule ({name}); return its optimizer. Make the {name} in "
            "fn_train, around the optimizer that comes in, and step it there."
        )
    if not isinstance(made, torch.optim.Optimizer) and callable(made):
        made = made(model.parameters())
    if not isinstance(made, torch.optim.Optimizer):
        raise TrainingError(
            f"fn_optimize: returned {type(made).__name__}; return a torch.optim.Optimizer, or a "
            "function that takes the parameters and returns one."
        )
    return made


def is_model(value: Any) -> bool:
    """Say whether a value is a module."""
    return isinstance(value, nn.Module)


def is_loss(value: Any) -> bool:
    """Say whether a value can be called as a loss; a class is made first."""
    return callable(value) and not isinstance(value, type)


def model_and_history(returned: Any) -> tuple[nn.Module, Mapping[str, Sequence[Any]]]:
    """Accept `model`, `(model, history)` or `(history, model)`."""
    parts = returned if isinstance(returned, tuple) else (returned,)
    models = [part for part in parts if isinstance(part, nn.Module)]
    histories = [part for part in parts if isinstance(part, dict)]
    if len(models) != 1 or len(models) + len(histories) != len(parts):
        kinds = [type(part).__name__ for part in parts]
        raise TrainingError(
            f"fn_train: returned {kinds}; return the model, or (history, model) with a dict of "
            "lists, as aiqc_core.utils.pytorch.fit does."
        )
    return models[0], histories[0] if histories else {}


def learning(model: nn.Module, made: Any) -> list[NDArray[Any]]:
    """Return the weights that training may move; none at a learning rate of 0."""
    rates = [group.get("lr") for group in getattr(made, "param_groups", ())]
    moves = not rates or any(rate is None or rate != 0 for rate in rates)
    return [as_array(p) for p in model.parameters() if p.requires_grad and moves]


def has_stepped(model: nn.Module) -> bool:
    """Say whether something trained a model: it has gradients, or was changed again and again."""
    return any(p.grad is not None or p._version > MADE for p in model.parameters())  # noqa: SLF001


def stopped_early(model: nn.Module) -> bool:
    """Return False: a loop of one's own tells nobody, and `fit` tells the observer."""
    del model
    return False


@contextmanager
def in_use(model: nn.Module) -> Generator[None]:
    """Predict in eval mode without gradients."""
    model.eval()
    with torch.no_grad():
        yield


def batches(model: nn.Module, features: Sequence[Tensor]) -> Iterator[Any]:
    """Yield the samples batch by batch, as `beside` gives them: a tensor, or a list of several."""
    for start in range(0, len(features[0]), PREDICTION_BATCH):
        parts = beside(model, [f[start : start + PREDICTION_BATCH] for f in features])
        yield parts[0] if len(parts) == 1 else parts


def outputs(model: nn.Module, features: Sequence[Tensor]) -> NDArray[Any]:
    """Run the model over samples in batches.

    Raises:
        TrainingError: it gives no outputs; see `torch_outputs.called`.
    """
    with in_use(model):
        parts = [
            torch_outputs.called(model, batch if isinstance(batch, list) else [batch])
            for batch in batches(model, features)
        ]
    return as_array(torch.cat(parts))


def last_activation(model: nn.Module, features: Sequence[Tensor]) -> str | None:
    """Return what the model's last operation says of its outputs; see `meaning`.

    A few samples go through it, with gradients; generators are left as they were.
    """
    was_training = model.training
    model.eval()
    try:
        with process.generators_kept(), torch.enable_grad():
            given = [f.requires_grad_() for f in beside(model, [f[:2].clone() for f in features])]
            return torch_outputs.last_activation(torch_outputs.called(model, given))
    except Exception:  # noqa: BLE001 - one that takes no gradients, say: then the values tell
        return None
    finally:
        model.train(was_training)


def loss_takes(loser: Any) -> str | None:
    """Return what a loss takes: probabilities, logits or log-probabilities; None if unknown."""
    kinds = {
        LOGITS: (nn.BCEWithLogitsLoss, nn.CrossEntropyLoss),
        PROBABILITIES: (nn.BCELoss,),
        LOGS: (nn.NLLLoss,),
    }
    return next((kind for kind, classes in kinds.items() if isinstance(loser, classes)), None)


def inform(loser: Any, outputs: str | None) -> None:
    """Let the default loss know what the model's outputs mean."""
    if isinstance(loser, CategoricalLoss):
        loser.outputs = outputs


def loss(model: nn.Module, loser: Any, features: Sequence[Tensor], label: Tensor) -> float:
    """Return the mean loss over samples."""
    device = _device(model)
    samples = fit.Samples(tuple(beside(model, features)), label.to(device))
    return fit.mean_loss(model, loser, samples)


def loss_of(model: nn.Module, loser: Any, output: NDArray[Any], label: Tensor) -> float:
    """Return the mean loss of what `outputs` gave."""
    device = _device(model)
    with torch.no_grad():
        given = torch.from_numpy(output).to(device)
        return torch_loss.loss_of(loser, given, label.to(device)).mean().item()


def save(model: nn.Module, made: torch.optim.Optimizer) -> bytes:
    """Return the states of model and optimizer; they load without running any code.

    Raises:
        TrainingError: they hold something other than numbers, texts and tensors.
    """
    return saving.pack(model.state_dict(), made.state_dict())


def stored_forms(
    model: nn.Module, made: torch.optim.Optimizer, wanted: dict[str, Any]
) -> Iterator[bytes]:
    """Yield what `save` would give of each state of the model that fits `wanted`.

    Raises:
        TrainingError: none does.
    """
    found = False
    for state in saving.states(model, wanted):
        found = True
        yield saving.pack(state, made.state_dict())
    if not found or saving.beyond(model, wanted):
        raise TrainingError(
            "the trained model is not the one that fn_build makes, so it could not be loaded "
            "again. Return from fn_train the model that it was given, or a wrapper of it; make "
            "all layers in fn_build, and quantise or convert a model that predictor.get_model() "
            f"gives. In its state_dict {saving.misfit(model, wanted)}."
        )


def rehearsed(
    parts: tuple[nn.Module, torch.optim.Optimizer, Any],
    build: Callable[[], nn.Module],
    optimize: Callable[[nn.Module], Any],
    few: Sequence[Tensor],
) -> tuple[NDArray[Any], NDArray[Any], list[str]] | None:
    """Save an untrained model, load it, and ask it and a copy of the first.

    Returns:
        What the copy and the loaded one give, and what was lost; None where they cannot be asked
        yet, as `fn_train` may set what they lack.

    Raises:
        TrainingError: it cannot be stored, or what it gives are no outputs.
    """
    model, made, _ = parts
    loaded, _ = load(save(model, made), build, optimize)
    before = list(sizes(loaded))
    try:
        with drawing(0):
            found = outputs(loaded, few)
        twin = copy.deepcopy(model).cpu()
    except TrainingError:
        raise
    except Exception:  # noqa: BLE001 - of a kind that training may end
        return None
    if late := [name for name in sizes(loaded) if name not in before]:
        raise TrainingError(
            f"fn_build: the model makes {', '.join(late[:4])} when it is first called, after the "
            "optimizer got its parameters. Make them in __init__, or use nn.LazyLinear."
        )
    with drawing(0):
        return outputs(twin, few), found, lost(twin, loaded)


def load(
    data: bytes, build: Callable[[], nn.Module], optimize: Callable[[nn.Module], Any]
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Build the model again and fill in its state; it comes in eval mode.

    Raises:
        TrainingError: `fn_build` makes another architecture than the one that was saved; or the
            bytes are damaged or hold code, which is never run.
    """
    state = saving.unpack(data)
    model = build()
    try:
        model.load_state_dict(state["model"])
    except RuntimeError as error:
        raise TrainingError(
            "the trained model is not the one that fn_build makes, so it could not be loaded "
            f"again. Return from fn_train the model that it was given. ({error})"
        ) from error
    made = optimize(model)
    try:
        made.load_state_dict(state["optimizer"])
    except ValueError as error:
        raise TrainingError(
            "the optimizer that trained has other parameters than the one that fn_optimize makes, "
            f"so its state could not be loaded again. Let fn_optimize make all groups. ({error})"
        ) from error
    return model.eval(), made


def weights(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the parameters and buffers of a stored model by name.

    Raises:
        TrainingError: see `load`.
    """
    return {name: as_array(value) for name, value in saving.unpack(data)["model"].items()}


def versions() -> dict[str, str]:
    """Return the version of torch."""
    return {"torch": metadata.version("torch")}


def _device(model: nn.Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def _dtype(model: nn.Module) -> torch.dtype:
    kinds = {p.dtype for p in model.parameters() if p.is_floating_point()}
    return torch.float64 if kinds == {torch.float64} else torch.float32
