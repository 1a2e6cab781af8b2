"""Keras 3 on TensorFlow as a backend."""
# pyright: reportAttributeAccessIssue=false
# (pyright takes `import keras` for this very file, as its environment is rooted in this folder)

from __future__ import annotations

import os
import random
import warnings
from contextlib import contextmanager, nullcontext, suppress
from importlib import metadata
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
    from pathlib import Path

    from numpy.typing import NDArray

from aiqc_core.stages.train.backends import process_state
from aiqc_core.stages.train.backends.arrays import as_array
from aiqc_core.stages.train.backends.base import PREDICTION_BATCH
from aiqc_core.stages.train.backends.keras import outputs as keras_outputs
from aiqc_core.stages.train.backends.keras import saving
from aiqc_core.stages.train.backends.keras.memory import gradients_forgotten
from aiqc_core.stages.train.outputs import LOGITS, PROBABILITIES

LearningRateSchedule = keras.optimizers.schedules.LearningRateSchedule
DEFAULT_RATE = 0.01
REMEDY = (
    "Keep it as a weight: self.add_weight(name=…, initializer=…, trainable=False) in __init__ or "
    "build, which may be assigned in training."
)
rehearses_hyperparameters = False
SETTINGS: list[process_state.Setting] = [
    (keras.config.floatx, keras.config.set_floatx),
    (keras.config.epsilon, keras.config.set_epsilon),
    (keras.config.image_data_format, keras.config.set_image_data_format),
    *map(
        saving.global_setting,
        ("dtype_policy", "traceback_filtering", "interactive_logging", "safe_mode_saving"),
    ),
    (tf.config.functions_run_eagerly, tf.config.run_functions_eagerly),
]


@contextmanager
def isolated(threads: int) -> Generator[None]:
    """Fix the number of threads where TensorFlow has not started yet, and free its graph after.

    What user code sets for the whole process ends with it: the next Job may be another's.
    """
    # Once TensorFlow runs in a process its threads are fixed, and it says so by an error.
    with suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    tf.config.experimental.enable_op_determinism()
    with _generators_kept(), process_state.kept(SETTINGS), gradients_forgotten():
        try:
            yield
        finally:
            keras.backend.clear_session()  # collects garbage, and forgets settings too


@contextmanager
def _generators_kept() -> Generator[None]:
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 - user code draws from it
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002


def seed(value: int) -> None:
    """Seed Python, numpy and TensorFlow."""
    keras.utils.set_random_seed(value)


@contextmanager
def drawing(value: int) -> Generator[None]:
    """Seed every generator inside a block; those of Python and numpy are then as they were."""
    with _generators_kept():
        seed(value)
        yield


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
    made = fn_optimize(**hyperparameters)
    if not isinstance(made, keras.optimizers.Optimizer | str | dict | LearningRateSchedule):
        given = f"the class {made.__name__}" if isinstance(made, type) else type(made).__name__
        raise TrainingError(
            f"fn_optimize: returned {given}; return an optimizer, as keras.optimizers.Adam(0.01)."
        )
    if isinstance(made, LearningRateSchedule):
        name = type(made).__name__
        raise TrainingError(
            f"fn_optimize: returned a schedule ({name}); return an optimizer that has it, as "
            f"keras.optimizers.Adam(learning_rate={name}(…))."
        )
    return made


def is_model(value: Any) -> bool:
    """Say whether a value is a Keras model."""
    return isinstance(value, keras.Model)


def is_loss(value: Any) -> bool:
    """Say whether a value is a loss, or the name of one."""
    return isinstance(value, str) or (callable(value) and not isinstance(value, type))


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


def learning(model: keras.Model, made: Any) -> list[NDArray[Any]]:
    """Return the weights that training may move; none at a learning rate of 0."""
    rate = getattr(made, "learning_rate", None)
    moves = rate is None or callable(rate) or float(rate) != 0
    return [as_array(each) for each in model.trainable_variables if moves]


def has_stepped(model: keras.Model) -> bool:
    """Say whether the optimizer that a model is compiled with has trained it."""
    made = getattr(model, "optimizer", None)
    return made is not None and int(made.iterations) > 0


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
    return saving.pack(model)


def load(data: bytes, build: Callable[[], Any], optimize: Callable[[Any], Any]) -> keras.Model:
    """Load the `.keras` file; see `keras_saving.unpack`."""
    return saving.unpack(data, build, optimize, keras.models.load_model)


def sizes(model: keras.Model) -> None:
    """Return nothing: a file holds the whole model."""
    del model


def stored_forms(model: keras.Model, made: Any, wanted: Any) -> Iterator[bytes]:
    """Yield the one form of a model."""
    del wanted
    yield save(model, made)


def unwrapped(model: keras.Model, given: keras.Model) -> keras.Model:
    """Return the model: Keras has no wrappers that a file does not hold."""
    del given
    return model


def prepared(model: keras.Model, shapes: list[tuple[int, ...]]) -> keras.Model:
    """Change nothing: a model without an Input gets its weights when it is first trained."""
    del shapes
    return model


def rebuilt(model: keras.Model, shapes: list[tuple[int, ...]]) -> keras.Model:
    """Give a model without an Input its weights, which stored ones then replace."""
    return saving.built(model, shapes)


def lost(trained: keras.Model, loaded: keras.Model) -> list[str]:
    """Return the state of a trained model that the loaded one lacks, for people."""
    return saving.lost(trained, loaded)


def rehearsed(
    parts: tuple[keras.Model, Any, Any],
    build: Callable[[], keras.Model],
    optimize: Callable[[keras.Model], Any],
    few: Sequence[NDArray[Any]],
) -> tuple[NDArray[Any], NDArray[Any], list[str]] | None:
    """Make the model once more, save it, load it, and ask both.

    Returns:
        What both give, and what was lost; None where they cannot be asked yet, as `fn_train` may
        set what they lack.

    Raises:
        TrainingError: it cannot be stored, or what it gives are no outputs.
    """
    with saving.names_kept(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the training itself says them
        try:
            twin = build()
            if getattr(twin, "optimizer", None) is None:
                twin.compile(optimizer=optimize(twin), loss=parts[2])
            twin.optimizer.build(twin.trainable_variables)
            expected = outputs(twin, few)
        except TrainingError:
            raise
        except Exception:  # noqa: BLE001 - training tells, or ends it
            return None
        loaded = load(save(twin, None), build, optimize)
        if not np.array_equal(expected, outputs(twin, few)):
            return None  # it draws numbers when it is asked
        return expected, outputs(loaded, few), lost(twin, loaded)


def advice(error: BaseException) -> str | None:
    """Return nothing: Keras says itself what to do."""
    del error


def keep(model: keras.Model, path: Path) -> Path:
    """Write the weights of a model to a file of this name, for `model.load_weights(file)`."""
    file = path.with_suffix(".weights.h5")
    model.save_weights(file)
    return file


def versions() -> dict[str, str]:
    """Return the versions of Keras and TensorFlow."""
    return {"keras": keras.__version__, "tensorflow": metadata.version("tensorflow")}
