"""What a framework has to offer so that Jobs can be trained with it."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from contextlib import contextmanager, nullcontext
from importlib import metadata
from typing import TYPE_CHECKING, Any

from aiqc_core import keras_backend
from aiqc_core.errors import AlgorithmError
from aiqc_core.stages.train.backends import process_state

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from aiqc_core.stages.train.backends.process_state import Setting

MODULES = {
    "keras": "aiqc_core.stages.train.backends.keras.backend",
    "pytorch": "aiqc_core.stages.train.backends.torch.backend",
}
PREDICTION_BATCH = 4096
DEFAULT_RATE = 0.01


class Backend(ABC):
    """One framework; `get_backend` gives it, and imports the framework then and not before.

    Attributes:
        REMEDY: what to do about state that is not stored with the weights.
        SETTINGS: of the whole process, how each is read and set.
        PACKAGES: of the framework, for `versions`.
        Model: the class of its models.
        rehearses_hyperparameters: whether saving and loading costs so little that it is tried for
            each combination.
    """

    REMEDY: str
    SETTINGS: Sequence[Setting]
    PACKAGES: tuple[str, ...]
    Model: type
    rehearses_hyperparameters: bool

    @abstractmethod
    def isolated(self, threads: int) -> AbstractContextManager[None]:
        """Fix the number of threads, so that sums are the same on any number of workers.

        Afterwards generators, memory and settings of the process are as before.
        """

    def generators(self) -> dict[str, Any]:
        """Return the states of every generator that training may draw from."""
        return process_state.generators()

    def restore(self, states: dict[str, Any]) -> None:
        """Set the generators to what `generators` returned."""
        process_state.restore_generators(states)

    @contextmanager
    def generators_kept(self) -> Generator[None]:
        """Leave every generator as it was."""
        states = self.generators()
        try:
            yield
        finally:
            self.restore(states)

    @abstractmethod
    def seed(self, value: int) -> None:
        """Seed every generator that training may draw from."""

    @contextmanager
    def drawing(self, value: int) -> Generator[None]:
        """Seed every generator inside a block, and leave them as they were."""
        with self.generators_kept():
            self.seed(value)
            yield

    @abstractmethod
    def from_arrays(self, arrays: Sequence[NDArray[Any]]) -> list[Any]:
        """Return float32 copies of cached arrays, as the framework's functions take them."""

    def placed(self, part: Any) -> Any:
        """Return a model or a loss where it is trained: on the device that is seen, if any."""
        return part

    def beside(self, model: Any, samples: Sequence[Any]) -> list[Any]:
        """Return samples where the model is."""
        del model
        return list(samples)

    @abstractmethod
    def device_kind(self, model: Any) -> str:
        """Return on what kind of device a model is: `cpu`, `cuda` or `mps`."""

    @abstractmethod
    def default_lose(
        self, analysis_type: str, label_width: int, outputs: str | None = None
    ) -> Callable[..., Any]:
        """Return cross-entropy over `outputs`, where they are stated, or the absolute error."""

    @abstractmethod
    def optimizer(
        self,
        fn_optimize: Callable[..., Any] | None,
        model: Any,
        hyperparameters: Mapping[str, Any],
    ) -> Any:
        """Make the optimizer: the user's, or Adamax with a learning rate of 0.01."""

    def is_model(self, value: Any) -> bool:
        """Say whether a value is a model of this framework."""
        return isinstance(value, self.Model)

    def is_loss(self, value: Any) -> bool:
        """Say whether a value can be called as a loss; a class is made first."""
        return callable(value) and not isinstance(value, type)

    @abstractmethod
    def model_and_history(self, returned: Any) -> tuple[Any, Mapping[str, Sequence[Any]]]:
        """Find the model and its history in what `fn_train` returned, in either order."""

    @abstractmethod
    def learning(self, model: Any, optimizer: Any) -> list[NDArray[Any]]:
        """Return the weights that training may move; none at a learning rate of 0."""

    @abstractmethod
    def has_stepped(self, model: Any) -> bool:
        """Say whether something trained a model, as far as can be seen."""

    def stopped_early(self, model: Any) -> bool:
        """Say whether a callback of the framework ended the training before its last epoch."""
        del model
        return False

    def in_use(self, model: Any) -> AbstractContextManager[None]:
        """Let the model predict rather than learn: no gradients, no dropout."""
        del model
        return nullcontext()

    def batches(self, model: Any, features: Sequence[Any]) -> Iterator[Any]:
        """Yield the samples batch by batch, where the model is: one feature, or a list of them."""
        for start in range(0, len(features[0]), PREDICTION_BATCH):
            parts = self.beside(model, [f[start : start + PREDICTION_BATCH] for f in features])
            yield parts[0] if len(parts) == 1 else parts

    @abstractmethod
    def outputs(self, model: Any, features: Sequence[Any]) -> NDArray[Any]:
        """Run a model over samples in batches; raise TrainingError without a row a sample."""

    @abstractmethod
    def last_activation(self, model: Any, features: Sequence[Any]) -> str | None:
        """Return what a model's last activation says of its outputs; see `meaning`."""

    @abstractmethod
    def loss_takes(self, loser: Any) -> str | None:
        """Return what a loss takes, as `meaning` names it; None where that is not known."""

    def inform(self, loser: Any, outputs: str | None) -> None:
        """Let the default loss know what the model's outputs mean."""
        del loser, outputs

    def loss(self, model: Any, loser: Any, features: Sequence[Any], label: Any) -> float:
        """Return the mean loss over samples, as in use."""
        return self.loss_of(model, loser, self.outputs(model, features), label)

    @abstractmethod
    def loss_of(self, model: Any, loser: Any, output: NDArray[Any], label: Any) -> float:
        """Return the mean loss of outputs; raise ValueError where shapes would broadcast."""

    def sizes(self, model: Any) -> Any:
        """Return what of a model has to fit so that its state can be loaded into another."""
        del model

    def unwrapped(self, model: Any, given: Any) -> Any:
        """Return the model inside wrappers that only pass on what it gives."""
        del given
        return model

    def prepared(self, model: Any, shapes: list[tuple[int, ...]]) -> Any:
        """Return a model that fn_build made, ready for an optimizer."""
        del shapes
        return model

    @abstractmethod
    def rebuilt(self, model: Any, shapes: list[tuple[int, ...]]) -> Any:
        """Return a model that fn_build made, ready for stored weights."""

    def stored_forms(self, model: Any, optimizer: Any, wanted: Any) -> Iterator[bytes]:
        """Yield what `save` gives of each form that fits `sizes`; raise TrainingError for none."""
        del wanted
        yield self.save(model, optimizer)

    @abstractmethod
    def lost(self, trained: Any, loaded: Any) -> list[str]:
        """Return the state of a trained model that the loaded one lacks, for people."""

    @abstractmethod
    def rehearsed(
        self, parts: tuple[Any, Any, Any], build: Callable[[], Any],
        optimize: Callable[[Any], Any], few: Sequence[Any],
    ) -> tuple[NDArray[Any], NDArray[Any], list[str]] | None:  # fmt: skip
        """Save an untrained model, load it, and run both on a few samples.

        `parts` are the model, its optimizer and its loss, which stay as they are.

        Returns:
            What both give, and what was lost; None where they cannot be run before `fn_train`.

        Raises:
            TrainingError: it cannot be stored, or what it gives are no outputs.
        """

    def advice(self, error: BaseException) -> str | None:
        """Return what to do about the framework's words for an everyday mistake."""
        del error

    @abstractmethod
    def keep(self, model: Any, path: Path) -> Path:
        """Write the weights of a model to a file of about this name; return the file."""

    @abstractmethod
    def save(self, model: Any, optimizer: Any) -> bytes:
        """Return model and optimizer as bytes without code; raise TrainingError if impossible."""

    @abstractmethod
    def load(self, data: bytes, build: Callable[[], Any], optimize: Callable[[Any], Any]) -> Any:
        """Give back what `save` wrote, on the CPU.

        Raises:
            TrainingError: `fn_build` makes another architecture than the one that was saved; or
                the bytes are damaged or hold code, which is never run.
        """

    def versions(self) -> dict[str, str]:
        """Return the versions of the framework."""
        return {name: metadata.version(name) for name in self.PACKAGES}


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
        return importlib.import_module(MODULES[library]).BACKEND
    except ModuleNotFoundError as error:
        extra = "torch" if library == "pytorch" else "tensorflow"
        raise AlgorithmError(
            f"library: {library!r} needs {error.name}, which is not installed. Run: "
            f"pip install 'aiqc-dagster[{extra}]'"
        ) from error
