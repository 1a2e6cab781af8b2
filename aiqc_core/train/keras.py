"""Keras 3 on TensorFlow as a backend."""
# pyright: reportAttributeAccessIssue=false
# (pyright takes `import keras` for this very file, as its environment is rooted in this folder)

from __future__ import annotations

import io
import os
import random
import tempfile
import zipfile
from contextlib import contextmanager, nullcontext, suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core import config
from aiqc_core.errors import TrainingError

# Keras writes its settings on import: into the store, not into the user's home.
os.environ["KERAS_HOME"] = str(config.given_folder("KERAS_HOME") or config.home() / "keras")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

from aiqc_core.train import keras_outputs
from aiqc_core.train.arrays import as_array
from aiqc_core.train.backend import PREDICTION_BATCH
from aiqc_core.train.meaning import LOGITS, PROBABILITIES
from aiqc_core.train.tensorflow_memory import gradients_forgotten

DEFAULT_RATE = 0.01
FILE = "model.keras"


@contextmanager
def isolated(threads: int) -> Generator[None]:
    """Fix the number of threads where TensorFlow has not started yet, and free its graph after."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 - user code draws from it
    # Once TensorFlow runs in a process its threads are fixed, and it says so by an error.
    with suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    tf.config.experimental.enable_op_determinism()
    try:
        with gradients_forgotten():
            yield
    finally:
        keras.backend.clear_session()  # collects garbage too
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002


def seed(value: int) -> None:
    """Seed Python, numpy and TensorFlow."""
    keras.utils.set_random_seed(value)


@contextmanager
def drawing(value: int) -> Generator[None]:
    """Seed every generator inside a block; those of Python and numpy are then as they were."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 - user code draws from it
    seed(value)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002


def from_arrays(arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Return float32 copies, which is what Keras computes in."""
    return [np.array(array, dtype=np.float32) for array in arrays]


def placed(part: Any) -> Any:
    """Leave placing to TensorFlow, which takes the device that it sees."""
    return part


def beside(model: Any, samples: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Leave that to TensorFlow too."""
    del model
    return list(samples)


def device_kind(model: Any) -> str:
    """Say whether TensorFlow sees a GPU, which it then uses."""
    del model
    if not tf.config.list_physical_devices("GPU"):
        return "cpu"
    return "cuda" if tf.test.is_built_with_cuda() else "mps"


def default_lose(
    analysis_type: str, label_width: int, outputs: str | None = None
) -> keras.losses.Loss:
    """Return cross-entropy, over probabilities unless logits are stated, or the absolute error."""
    losses, logits = keras.losses, outputs == LOGITS
    if analysis_type == "classification_binary":
        return losses.BinaryCrossentropy(from_logits=logits)
    if analysis_type == "classification_multi" and label_width > 1:
        return losses.CategoricalCrossentropy(from_logits=logits)
    if analysis_type == "classification_multi":
        return losses.SparseCategoricalCrossentropy(from_logits=logits)
    return losses.MeanAbsoluteError()


def optimizer(
    fn_optimize: Callable[..., Any] | None, model: Any, hyperparameters: Mapping[str, Any]
) -> Any:
    """Make the optimizer: the user's, or Adamax with a learning rate of 0.01."""
    del model
    if fn_optimize is None:
        return keras.optimizers.Adamax(DEFAULT_RATE)
    return fn_optimize(**hyperparameters)


def is_model(value: Any) -> bool:
    """Say whether a value is a Keras model."""
    return isinstance(value, keras.Model)


def model_and_history(returned: Any) -> tuple[keras.Model, Mapping[str, Sequence[Any]]]:
    """Accept `model`, `(model, history)` or `(history, model)`; else take the model's own."""
    parts = returned if isinstance(returned, tuple) else (returned,)
    models = [part for part in parts if isinstance(part, keras.Model)]
    others = [part for part in parts if not isinstance(part, keras.Model)]
    if len(models) != 1 or len(others) > 1:
        kinds = [type(part).__name__ for part in parts]
        raise TrainingError(
            f"fn_train: returned {kinds}; return the model after model.fit, which keeps its "
            "history."
        )
    model = models[0]
    given = others[0] if others else getattr(model, "history", None)
    history = getattr(given, "history", given) or {}
    if not isinstance(history, dict):
        raise TrainingError(
            f"fn_train: returned {type(history).__name__} as history; return the model alone, or "
            "a dict of lists with it."
        )
    return model, history


def stopped_early(model: keras.Model) -> bool:
    """Say whether a callback, such as EarlyStopping, ended the last `fit` with epochs to go."""
    history = getattr(model, "history", None)
    wanted = (getattr(history, "params", None) or {}).get("epochs", 0)
    done = getattr(history, "epoch", None) or [wanted]
    return bool(getattr(model, "stop_training", False)) and done[-1] + 1 < wanted


def in_use(model: keras.Model) -> AbstractContextManager[None]:
    """Change nothing: Keras models predict unless they are told to train."""
    del model
    return nullcontext()


def batches(model: keras.Model, features: Sequence[NDArray[Any]]) -> Iterator[Any]:
    """Yield the samples batch by batch: an array, or a list of several."""
    del model
    for start in range(0, len(features[0]), PREDICTION_BATCH):
        parts = [f[start : start + PREDICTION_BATCH] for f in features]
        yield parts[0] if len(parts) == 1 else parts


def outputs(model: keras.Model, features: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Run the model over samples in batches.

    Called directly, as `model.predict` traces a graph first: 30 times slower for small models.
    """
    return np.concatenate(
        [
            keras_outputs.checked(model, model(batch, training=False), _count(batch))
            for batch in batches(model, features)
        ]
    )


def _count(batch: Any) -> int:
    return len(batch[0] if isinstance(batch, list) else batch)


def last_activation(model: keras.Model, features: Sequence[NDArray[Any]]) -> str | None:
    """Return what the model's last activation says of its outputs; see `meaning`."""
    return keras_outputs.last_activation(model, features)


def loss_takes(loser: Any) -> str | None:
    """Return what a loss takes: probabilities or logits; None if unknown."""
    logits = getattr(loser, "from_logits", None)
    if logits is not None:
        return LOGITS if logits else PROBABILITIES
    ours = isinstance(loser, str) or str(getattr(loser, "__module__", "")).startswith("keras.")
    name = loser if isinstance(loser, str) else getattr(loser, "__name__", type(loser).__name__)
    return PROBABILITIES if ours and "crossentropy" in name.lower() else None


def inform(loser: Any, outputs: str | None) -> None:
    """Change nothing: a loss of Keras says itself what it takes."""
    del loser, outputs


def loss(
    model: keras.Model, loser: Any, features: Sequence[NDArray[Any]], label: NDArray[Any]
) -> float:
    """Return the mean loss over samples."""
    return loss_of(model, loser, outputs(model, features), label)


def loss_of(model: keras.Model, loser: Any, output: NDArray[Any], label: NDArray[Any]) -> float:
    """Return the mean loss of what `outputs` gave.

    Raises:
        ValueError: label and output have shapes that would broadcast.
    """
    del model
    if loser is None or isinstance(loser, str):
        loser = keras.losses.get(loser)
    _refuse_broadcast(loser, output, label)
    return float(np.mean(as_array(loser(label, output))))


def _refuse_broadcast(loser: Any, output: NDArray[Any], label: NDArray[Any]) -> None:
    """Refuse shapes that a loss of Keras would broadcast; of a user's loss nothing is known."""
    name = getattr(loser, "__name__", type(loser).__name__).lower()
    if not loser.__module__.startswith("keras.") or "sparse" in name or "ctc" in name:
        return
    if [n for n in output.shape if n != 1] != [n for n in label.shape if n != 1]:
        raise ValueError(
            f"the model's output has shape {output.shape}, the label {label.shape}: a loss would "
            "broadcast them silently. Let the model end with label_shape outputs."
        )


def save(model: keras.Model, made: Any) -> bytes:
    """Return the model as a `.keras` file, with the state of the optimizer it is compiled with."""
    del made
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        model.save(path)
        return path.read_bytes()


def load(data: bytes, build: Callable[[], Any], optimize: Callable[[Any], Any]) -> keras.Model:
    """Load the `.keras` file in safe mode: it may hold no code.

    A file that names classes of the user is read into the model that `fn_build` makes.

    Raises:
        TrainingError: `fn_build` makes another architecture than the one that was saved, or the
            bytes are damaged.
    """
    if not zipfile.is_zipfile(io.BytesIO(data)):
        raise TrainingError("the stored model cannot be read: its bytes are damaged.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        path.write_bytes(data)
        try:
            return keras.models.load_model(path, safe_mode=True)
        except (TypeError, ValueError):
            return _filled(path, build(), optimize)
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise TrainingError(
                f"the stored model cannot be read: it is damaged ({error})."
            ) from error


def _filled(path: Path, model: keras.Model, optimize: Callable[[Any], Any]) -> keras.Model:
    try:
        model.compile(optimizer=optimize(model))
        if model.built:
            model.optimizer.build(model.trainable_variables)
        model.load_weights(path)
    except (TypeError, ValueError) as error:
        raise TrainingError(
            "the trained model cannot be loaded again: it holds classes or functions of its own "
            "(a Lambda layer, say), and fn_build makes another model. Return from fn_train the "
            f"model that it was given, built with an Input. ({error})"
        ) from error
    return model


def versions() -> dict[str, str]:
    """Return the versions of Keras and TensorFlow."""
    return {"keras": keras.__version__, "tensorflow": metadata.version("tensorflow")}
