"""PyTorch as a backend."""

from __future__ import annotations

import gc
import io
import pickle
import random
import zipfile
from contextlib import contextmanager
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from aiqc_core.errors import TrainingError
from aiqc_core.train import torch_fit, torch_loss
from aiqc_core.train.backend import PREDICTION_BATCH
from aiqc_core.train.functions import takes_model_first

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

FORMAT = 1
PROBABILITY_TOLERANCE = 1e-4
SMALLEST = 1e-7
DEFAULT_RATE = 0.01


class CategoricalLoss(nn.Module):
    """Cross-entropy over probabilities or logits, whichever the model gives.

    Outputs that lie in [0, 1] and sum to 1 in every row are probabilities; others are logits. The
    label is ordinal `(samples, 1)` or one-hot `(samples, classes)`.
    """

    takes_class_index = True

    def forward(self, output: Tensor, label: Tensor) -> Tensor:
        """Return the mean loss of a batch."""
        target = label.argmax(dim=1) if label.shape == output.shape else label.reshape(len(label))
        target = target.long()
        if is_probability(output.detach()):
            return nn.functional.nll_loss(output.clamp(min=SMALLEST).log(), target)
        return nn.functional.cross_entropy(output, target)


def is_probability(output: Tensor) -> bool:
    """Say whether every row is a distribution over classes."""
    if output.min() < 0 or output.max() > 1:
        return False
    return bool((output.sum(dim=1) - 1).abs().max() < PROBABILITY_TOLERANCE)


@contextmanager
def isolated(threads: int) -> Generator[None]:
    """Fix the number of threads, so that sums come out the same on any number of workers."""
    before = torch.get_num_threads()
    states = random.getstate(), np.random.get_state(), torch.random.get_rng_state()  # noqa: NPY002
    torch.set_num_threads(threads)
    cudnn = torch.backends.cudnn
    flags = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = True, False  # equal seeds, equal models on a GPU too
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = flags
        torch.set_num_threads(before)
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002 - user code draws from this one
        torch.random.set_rng_state(states[2])
        _free_devices()


def _free_devices() -> None:
    """Give back what torch keeps of a device's memory, for other Jobs and other processes."""
    if torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        gc.collect()
        torch.mps.empty_cache()


def seed(value: int) -> None:
    """Seed Python, numpy and torch."""
    random.seed(value)
    np.random.seed(value)  # noqa: NPY002 - user code draws from this one
    torch.manual_seed(value)


def from_arrays(arrays: Sequence[NDArray[Any]]) -> list[Tensor]:
    """Return float32 copies."""
    return [torch.tensor(np.asarray(array), dtype=torch.float32) for array in arrays]


def placed(part: Any) -> Any:
    """Move a module to the GPU that this process sees, unless user code has placed it."""
    on_cpu = isinstance(part, nn.Module) and _device(part).type == "cpu"
    return part.to("cuda") if on_cpu and torch.cuda.is_available() else part


def beside(model: nn.Module, samples: Sequence[Tensor]) -> list[Tensor]:
    """Return samples on the model's device."""
    return [each.to(_device(model)) for each in samples]


def device_kind(model: nn.Module) -> str:
    """Return the type of the device that the model's parameters are on."""
    return _device(model).type


def default_lose(analysis_type: str, label_width: int) -> nn.Module:
    """Return BCE over probabilities, cross-entropy, or the mean absolute error."""
    del label_width
    if analysis_type == "classification_binary":
        return nn.BCELoss()
    return CategoricalLoss() if analysis_type == "classification_multi" else nn.L1Loss()


def optimizer(
    fn_optimize: Callable[..., Any] | None, model: nn.Module, hyperparameters: Mapping[str, Any]
) -> torch.optim.Optimizer:
    """Make the optimizer; `fn_optimize` may take the model, or return a function of parameters."""
    if fn_optimize is None:
        return torch.optim.Adamax(model.parameters(), lr=DEFAULT_RATE)
    first = (model,) if takes_model_first(fn_optimize) else ()
    made = fn_optimize(*first, **hyperparameters)
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


@contextmanager
def in_use(model: nn.Module) -> Generator[None]:
    """Predict in eval mode without gradients."""
    model.eval()
    with torch.no_grad():
        yield


def batches(model: nn.Module, features: Sequence[Tensor]) -> Iterator[Any]:
    """Yield the samples batch by batch on the model's device: a tensor, or a list of several."""
    device = _device(model)
    for start in range(0, len(features[0]), PREDICTION_BATCH):
        parts = [f[start : start + PREDICTION_BATCH].to(device) for f in features]
        yield parts[0] if len(parts) == 1 else parts


def outputs(model: nn.Module, features: Sequence[Tensor]) -> NDArray[Any]:
    """Run the model over samples in batches."""
    with in_use(model):
        parts = [
            model(*batch) if isinstance(batch, list) else model(batch)
            for batch in batches(model, features)
        ]
    return torch.cat(parts).cpu().numpy()


def takes_logits(loser: Any) -> bool:
    """Say whether the loss applies the sigmoid itself."""
    return isinstance(loser, nn.BCEWithLogitsLoss)


def loss(model: nn.Module, loser: Any, features: Sequence[Tensor], label: Tensor) -> float:
    """Return the mean loss over samples."""
    device = _device(model)
    samples = torch_fit.Samples(tuple(f.to(device) for f in features), label.to(device))
    return torch_fit.mean_loss(model, loser, samples)


def loss_of(model: nn.Module, loser: Any, output: NDArray[Any], label: Tensor) -> float:
    """Return the mean loss of what `outputs` gave."""
    device = _device(model)
    with torch.no_grad():
        given = torch.from_numpy(output).to(device)
        return torch_loss.loss_of(loser, given, label.to(device)).mean().item()


def save(model: nn.Module, made: torch.optim.Optimizer) -> bytes:
    """Return the states of model and optimizer; they load without running any code."""
    buffer = io.BytesIO()
    state = {"format": FORMAT, "model": model.state_dict(), "optimizer": made.state_dict()}
    torch.save(state, buffer)
    return buffer.getvalue()


def load(
    data: bytes, build: Callable[[], nn.Module], optimize: Callable[[nn.Module], Any]
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Build the model again and fill in its state; it comes in eval mode.

    Raises:
        TrainingError: `fn_build` makes another architecture than the one that was saved; or the
            bytes are damaged or hold code, which is never run.
    """
    state = _read(data)
    model = build()
    try:
        model.load_state_dict(state["model"])
    except RuntimeError as error:
        raise TrainingError(
            "the trained model is not the one that fn_build makes, so it could not be loaded "
            f"again. Return from fn_train the model that it was given. ({error})"
        ) from error
    made = optimize(model)
    made.load_state_dict(state["optimizer"])
    return model.eval(), made


def weights(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the parameters and buffers of a stored model by name.

    Raises:
        TrainingError: see `load`.
    """
    return {
        name: (value.float() if value.dtype is torch.bfloat16 else value).numpy()
        for name, value in _read(data)["model"].items()
    }


def _read(data: bytes) -> dict[str, Any]:
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


def versions() -> dict[str, str]:
    """Return the version of torch."""
    return {"torch": metadata.version("torch")}


def _device(model: nn.Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))
