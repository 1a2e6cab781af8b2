"""What a framework has to offer so that Jobs can be trained with it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Protocol

from aiqc_core import keras_backend
from aiqc_core.errors import AlgorithmError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from aiqc_core.stages.train.backends.process_state import Setting

MODULES = {
    "keras": "aiqc_core.stages.train.backends.keras.backend",
    "pytorch": "aiqc_core.stages.train.backends.torch.backend",
}
PREDICTION_BATCH = 4096


class Backend(Protocol):
    """One framework; `get_backend` gives it, and imports the framework then and not before.

    Attributes:
        REMEDY: what to do about state that is not stored with the weights.
        SETTINGS: of the whole process, how each is read and set.
        rehearses_hyperparameters: whether saving and loading costs so little that it is tried for
            each combination.
    """

    REMEDY: str
    SETTINGS: Sequence[Setting]
    rehearses_hyperparameters: bool

    def isolated(self, threads: int) -> AbstractContextManager[None]:
        """Restore the process afterwards: generators, thread counts, memory."""
        ...

    def seed(self, seed: int) -> None:
        """Seed every generator that training may draw from."""
        ...

    def drawing(self, seed: int) -> AbstractContextManager[None]:
        """Seed every generator inside a block, and leave them as they were."""
        ...

    def from_arrays(self, arrays: Sequence[NDArray[Any]]) -> list[Any]:
        """Turn cached arrays into what the framework's functions take; never the cache itself."""
        ...

    def placed(self, part: Any) -> Any:
        """Return a model or a loss where it is trained: on the device that is seen, if any."""
        ...

    def beside(self, model: Any, samples: Sequence[Any]) -> list[Any]:
        """Return samples where the model is."""
        ...

    def device_kind(self, model: Any) -> str:
        """Return on what kind of device a model is: `cpu`, `cuda` or `mps`."""
        ...

    def default_lose(
        self, analysis_type: str, label_width: int, outputs: str | None = None
    ) -> Callable[..., Any]:
        """Return the loss used where no `fn_lose` is given; `outputs` is what was stated."""
        ...

    def optimizer(
        self,
        fn_optimize: Callable[..., Any] | None,
        model: Any,
        hyperparameters: Mapping[str, Any],
    ) -> Any:
        """Make the optimizer: the user's, or Adamax with a learning rate of 0.01."""
        ...

    def is_model(self, value: Any) -> bool:
        """Say whether a value is a model of this framework."""
        ...

    def is_loss(self, value: Any) -> bool:
        """Say whether a value can be a loss."""
        ...

    def model_and_history(self, returned: Any) -> tuple[Any, Mapping[str, Sequence[Any]]]:
        """Tell the model and its history from what `fn_train` returned."""
        ...

    def learning(self, model: Any, optimizer: Any) -> list[NDArray[Any]]:
        """Return the weights that training may move; none at a learning rate of 0."""
        ...

    def has_stepped(self, model: Any) -> bool:
        """Say whether something trained a model, as far as can be seen."""
        ...

    def stopped_early(self, model: Any) -> bool:
        """Say whether a callback of the framework ended the training before its last epoch."""
        ...

    def in_use(self, model: Any) -> AbstractContextManager[None]:
        """Let the model predict rather than learn: no gradients, no dropout."""
        ...

    def batches(self, model: Any, features: Sequence[Any]) -> Iterator[Any]:
        """Yield the samples batch by batch, where the model is and as `fn_predict` takes them."""
        ...

    def outputs(self, model: Any, features: Sequence[Any]) -> NDArray[Any]:
        """Run a model over samples in batches, in use."""
        ...

    def last_activation(self, model: Any, features: Sequence[Any]) -> str | None:
        """Return what a model's last activation says of its outputs; see `meaning`."""
        ...

    def loss_takes(self, loser: Any) -> str | None:
        """Return what a loss takes, as `meaning` names it; None where that is not known."""
        ...

    def inform(self, loser: Any, outputs: str | None) -> None:
        """Let the default loss know what the model's outputs mean."""
        ...

    def loss(self, model: Any, loser: Any, features: Sequence[Any], label: Any) -> float:
        """Return the mean loss over samples, as in use."""
        ...

    def loss_of(self, model: Any, loser: Any, output: NDArray[Any], label: Any) -> float:
        """Return the mean loss of what `outputs` gave."""
        ...

    def sizes(self, model: Any) -> Any:
        """Return what of a model has to fit so that its state can be loaded into another."""
        ...

    def unwrapped(self, model: Any, given: Any) -> Any:
        """Return the model inside wrappers that only pass on what it gives."""
        ...

    def prepared(self, model: Any, shapes: list[tuple[int, ...]]) -> Any:
        """Return a model that fn_build made, ready for an optimizer."""
        ...

    def rebuilt(self, model: Any, shapes: list[tuple[int, ...]]) -> Any:
        """Return a model that fn_build made, ready for stored weights."""
        ...

    def stored_forms(self, model: Any, optimizer: Any, wanted: Any) -> Iterator[bytes]:
        """Yield what `save` gives of each form of a trained model that fits `sizes`."""
        ...

    def lost(self, trained: Any, loaded: Any) -> list[str]:
        """Return the state of a trained model that the loaded one lacks, for people."""
        ...

    def rehearsed(
        self,
        parts: tuple[Any, Any, Any],
        build: Callable[[], Any],
        optimize: Callable[[Any], Any],
        few: Sequence[Any],
    ) -> tuple[NDArray[Any], NDArray[Any], list[str]] | None:
        """Save an untrained model, load it, and return what both give of a few samples.

        Args:
            parts: the model, its optimizer and its loss; they stay as they are.
            build: makes the model again.
            optimize: makes its optimizer.
            few: samples.
        """
        ...

    def advice(self, error: BaseException) -> str | None:
        """Return what to do about the framework's words for an everyday mistake."""
        ...

    def keep(self, model: Any, path: Path) -> Path:
        """Write the weights of a model to a file of about this name; return the file."""
        ...

    def save(self, model: Any, optimizer: Any) -> bytes:
        """Return a model with its optimizer's state as bytes that hold no code."""
        ...

    def load(self, data: bytes, build: Callable[[], Any], optimize: Callable[[Any], Any]) -> Any:
        """Give back what `save` wrote, on the CPU."""
        ...

    def versions(self) -> dict[str, str]:
        """Return the versions of the framework."""
        ...


def get_backend(library: str) -> Backend:
    """Return the backend of a library.

    Raises:
        AlgorithmError: an unknown library, one that is not installed, or Keras on another backend
            than TensorFlow.
    """
    if library not in MODULES:
        raise AlgorithmError(f"library: {library!r} is none of {sorted(MODULES)}.")
    if library == "keras":
        keras_backend.refuse_other()
    try:
        return importlib.import_module(MODULES[library])  # type: ignore[return-value]
    except ModuleNotFoundError as error:
        extra = "torch" if library == "pytorch" else "tensorflow"
        raise AlgorithmError(
            f"library: {library!r} needs {error.name}, which is not installed. Run: "
            f"pip install 'aiqc-dagster[{extra}]'"
        ) from error
