"""PyTorch as a backend."""
# pyright: reportAssignmentType=false
# (functions of other modules, as static methods, stand for methods)

from __future__ import annotations

import copy
import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from aiqc_core.analysis import AnalysisType
from aiqc_core.errors import TrainingError
from aiqc_core.stages.train.backends import process_state
from aiqc_core.stages.train.backends.arrays import as_array
from aiqc_core.stages.train.backends.base import DEFAULT_RATE, Backend
from aiqc_core.stages.train.backends.torch import loop, process, saving
from aiqc_core.stages.train.backends.torch import loss as torch_loss
from aiqc_core.stages.train.backends.torch import outputs as torch_outputs
from aiqc_core.stages.train.backends.torch.loss import CategoricalLoss
from aiqc_core.stages.train.functions.capture import takes_model_first
from aiqc_core.stages.train.outputs import LOGITS, LOGS, PROBABILITIES

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from numpy.typing import NDArray
    from torch import Tensor

MADE = 4  # changes of a weight as a layer is made


class TorchBackend(Backend):
    """PyTorch; a model is stored as states, and `fn_build` makes it again."""

    REMEDY = (
        "Keep it in the state_dict: by self.register_buffer(name, torch.tensor(…)) in __init__, "
        "or as an nn.Parameter, and layers in an nn.ModuleList."
    )
    SETTINGS = process.SETTINGS
    PACKAGES = ("torch",)
    Model = nn.Module
    rehearses_hyperparameters = True
    generators = staticmethod(process.generators)
    restore = staticmethod(process.restore)
    seed = staticmethod(process.seed)
    sizes = staticmethod(saving.sizes)
    unwrapped = staticmethod(saving.unwrapped)
    lost = staticmethod(saving.lost)
    keep = staticmethod(saving.keep)
    prepared = rebuilt = staticmethod(saving.materialised)
    advice = staticmethod(torch_outputs.advice)

    @contextmanager
    def isolated(self, threads: int) -> Generator[None]:
        try:
            with self.generators_kept(), process_state.kept(self.SETTINGS):
                torch.set_grad_enabled(True)
                torch.set_num_threads(threads)
                process.set_cudnn((True, False))  # equal seeds, equal models on a GPU too
                yield
        finally:
            # Other Jobs and processes need the memory that torch caches on a device.
            device: Any = torch.cuda if torch.cuda.is_initialized() else torch.mps
            if device is torch.cuda or torch.backends.mps.is_available():
                gc.collect()
                device.empty_cache()

    def from_arrays(self, arrays: Any) -> list[Tensor]:
        return [torch.tensor(np.asarray(each, order="C"), dtype=torch.float32) for each in arrays]

    def placed(self, part: Any) -> Any:  # user code may have placed it
        on_cpu = isinstance(part, nn.Module) and _device(part).type == "cpu"
        return part.to("cuda") if on_cpu and torch.cuda.is_available() else part

    def beside(self, model: nn.Module, samples: Any) -> list[Tensor]:
        # In float64 where weights are; float32 for narrower ones: bfloat16 has no 257.
        kinds = {p.dtype for p in model.parameters() if p.is_floating_point()}
        kind = torch.float64 if kinds == {torch.float64} else torch.float32
        return [each.to(_device(model), kind) for each in samples]

    def device_kind(self, model: nn.Module) -> str:
        return _device(model).type

    def default_lose(
        self, analysis_type: str, label_width: int, outputs: str | None = None
    ) -> nn.Module:
        if analysis_type == AnalysisType.BINARY:
            return nn.BCEWithLogitsLoss() if outputs == LOGITS else nn.BCELoss()
        is_number = analysis_type == AnalysisType.REGRESSION
        return nn.L1Loss() if is_number else CategoricalLoss(outputs)

    def optimizer(self, fn_optimize: Any, model: nn.Module, hyperparameters: Any) -> Any:
        if fn_optimize is None:
            return torch.optim.Adamax(model.parameters(), lr=DEFAULT_RATE)
        first = (model,) if takes_model_first(fn_optimize) else ()
        made = fn_optimize(*first, **hyperparameters)
        if isinstance(made, LRScheduler | ReduceLROnPlateau):
            name = type(made).__name__
            raise TrainingError(
                f"fn_optimize: returned a schedule ({name}); return its optimizer. Make the "
                f"{name} in fn_train, around the optimizer that comes in, and step it there."
            )
        if not isinstance(made, torch.optim.Optimizer) and callable(made):
            made = made(model.parameters())
        if not isinstance(made, torch.optim.Optimizer):
            raise TrainingError(
                f"fn_optimize: returned {type(made).__name__}; return a torch.optim.Optimizer, or "
                "a function that takes the parameters and returns one."
            )
        return made

    def model_and_history(self, returned: Any) -> tuple[nn.Module, Any]:
        parts = returned if isinstance(returned, tuple) else (returned,)
        models = [part for part in parts if isinstance(part, nn.Module)]
        histories = [part for part in parts if isinstance(part, dict)]
        if len(models) != 1 or len(models) + len(histories) != len(parts):
            kinds = [type(part).__name__ for part in parts]
            raise TrainingError(
                f"fn_train: returned {kinds}; return the model, or (history, model) with a dict "
                "of lists, as aiqc_core.utils.pytorch.fit does."
            )
        return models[0], histories[0] if histories else {}

    def learning(self, model: nn.Module, optimizer: Any) -> list[NDArray[Any]]:
        rates = [group.get("lr") for group in getattr(optimizer, "param_groups", ())]
        moves = not rates or any(rate is None or rate != 0 for rate in rates)
        return [as_array(p) for p in model.parameters() if p.requires_grad and moves]

    def has_stepped(self, model: nn.Module) -> bool:
        # It has gradients, or was changed again and again.
        return any(p.grad is not None or p._version > MADE for p in model.parameters())  # noqa: SLF001

    @contextmanager
    def in_use(self, model: nn.Module) -> Generator[None]:
        model.eval()
        with torch.no_grad():
            yield

    def outputs(self, model: nn.Module, features: Any) -> NDArray[Any]:
        with self.in_use(model):
            parts = [
                torch_outputs.called(model, batch if isinstance(batch, list) else [batch])
                for batch in self.batches(model, features)
            ]
        return as_array(torch.cat(parts))

    def last_activation(self, model: nn.Module, features: Any) -> str | None:
        was_training = model.training
        model.eval()
        try:
            with self.generators_kept(), torch.enable_grad():
                few = self.beside(model, [f[:2].clone() for f in features])
                output = torch_outputs.called(model, [f.requires_grad_() for f in few])
                return torch_outputs.last_activation(output)
        except Exception:  # noqa: BLE001 - one that takes no gradients, say: the values decide
            return None
        finally:
            model.train(was_training)

    def loss_takes(self, loser: Any) -> str | None:
        kinds = {
            LOGITS: (nn.BCEWithLogitsLoss, nn.CrossEntropyLoss),
            PROBABILITIES: (nn.BCELoss,),
            LOGS: (nn.NLLLoss,),
        }
        return next((kind for kind, classes in kinds.items() if isinstance(loser, classes)), None)

    def inform(self, loser: Any, outputs: str | None) -> None:
        if isinstance(loser, CategoricalLoss):
            loser.outputs = outputs

    def loss(self, model: nn.Module, loser: Any, features: Any, label: Tensor) -> float:
        samples = loop.Samples(tuple(self.beside(model, features)), label.to(_device(model)))
        return loop.split_loss(loser, loop.whole_output(model, samples), samples).item()

    def loss_of(self, model: nn.Module, loser: Any, output: NDArray[Any], label: Tensor) -> float:
        device = _device(model)
        with torch.no_grad():
            given = torch.from_numpy(output).to(device)
            return torch_loss.loss_of(loser, given, label.to(device)).mean().item()

    def save(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> bytes:
        return saving.pack(model.state_dict(), optimizer.state_dict())

    def stored_forms(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, wanted: dict[str, Any]
    ) -> Iterator[bytes]:
        found = False
        for state in saving.states(model, wanted):
            found = True
            yield saving.pack(state, optimizer.state_dict())
        if not found or saving.beyond(model, wanted):
            raise TrainingError(
                "the trained model is not the one that fn_build makes, so it could not be loaded "
                "again. Return from fn_train the model that it was given, or a wrapper of it; "
                "make all layers in fn_build, and quantise or convert a model that "
                f"predictor.get_model() gives. In its state_dict {saving.misfit(model, wanted)}."
            )

    def rehearsed(self, parts: Any, build: Any, optimize: Any, few: Any) -> Any:
        model, made, _ = parts
        loaded, _ = self.load(self.save(model, made), build, optimize)
        before = list(saving.sizes(loaded))
        try:
            with self.drawing(0):
                found = self.outputs(loaded, few)
            twin = copy.deepcopy(model).cpu()
        except TrainingError:
            raise
        except Exception:  # noqa: BLE001 - of a kind that training may end
            return None
        if late := [name for name in saving.sizes(loaded) if name not in before]:
            raise TrainingError(
                f"fn_build: the model makes {', '.join(late[:4])} when it is first called, after "
                "the optimizer got its parameters. Make them in __init__, or use nn.LazyLinear."
            )
        with self.drawing(0):
            return self.outputs(twin, few), found, saving.lost(twin, loaded)

    def load(
        self, data: bytes, build: Any, optimize: Any
    ) -> tuple[nn.Module, torch.optim.Optimizer]:  # the model in eval mode
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
                "the optimizer that trained has other parameters than the one that fn_optimize "
                "makes, so its state could not be loaded again. Let fn_optimize make all groups. "
                f"({error})"
            ) from error
        return model.eval(), made

    def weights(self, data: bytes) -> dict[str, NDArray[Any]]:
        """Return the parameters and buffers of a stored model by name."""
        return {name: as_array(value) for name, value in saving.unpack(data)["model"].items()}


def _device(model: nn.Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))


BACKEND = TorchBackend()
