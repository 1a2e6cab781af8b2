"""Keras 3 on TensorFlow as a backend."""
# pyright: reportAttributeAccessIssue=false, reportAssignmentType=false
# (pyright takes `import keras` for this very file, as its environment is rooted in this folder;
# functions of other modules, as static methods, stand for methods)

from __future__ import annotations

import os
import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core import config
from aiqc_core.errors import TrainingError

# Keras writes its settings on import: into the store, not into the user's home.
os.environ["KERAS_HOME"] = str(config.settings.keras_home or config.home() / "keras")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf
from tensorflow.python.framework import ops

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

from aiqc_core.analysis import AnalysisType
from aiqc_core.stages.train.backends import process_state
from aiqc_core.stages.train.backends.arrays import as_array
from aiqc_core.stages.train.backends.base import DEFAULT_RATE, Backend
from aiqc_core.stages.train.backends.keras import outputs as keras_outputs
from aiqc_core.stages.train.backends.keras import saving
from aiqc_core.stages.train.outputs import LOGITS, PROBABILITIES


class KerasBackend(Backend):
    """Keras; it places models itself, and a file holds the whole model."""

    REMEDY = (
        "Keep it as a weight: self.add_weight(name=…, initializer=…, trainable=False) in __init__ "
        "or build, which may be assigned in training."
    )
    SETTINGS = (
        (keras.config.floatx, keras.config.set_floatx),
        (keras.config.epsilon, keras.config.set_epsilon),
        (keras.config.image_data_format, keras.config.set_image_data_format),
        saving.global_setting("dtype_policy"),
        saving.global_setting("traceback_filtering"),
        saving.global_setting("interactive_logging"),
        saving.global_setting("safe_mode_saving"),
        (tf.config.functions_run_eagerly, tf.config.run_functions_eagerly),
    )
    PACKAGES = ("keras", "tensorflow")
    Model = keras.Model
    rehearses_hyperparameters = False
    seed = staticmethod(keras.utils.set_random_seed)
    last_activation = staticmethod(keras_outputs.last_activation)
    rebuilt = staticmethod(saving.built)
    lost = staticmethod(saving.lost)

    @contextmanager
    def isolated(self, threads: int) -> Generator[None]:
        # Once TensorFlow runs in a process its threads are fixed, and it says so by an error.
        with suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        tf.config.experimental.enable_op_determinism()
        with self.generators_kept(), process_state.kept(self.SETTINGS), _gradients_forgotten():
            try:
                yield
            finally:
                keras.backend.clear_session()  # collects garbage, and forgets settings too

    def from_arrays(self, arrays: Any) -> list[Any]:
        return [np.array(array, dtype=np.float32) for array in arrays]

    def device_kind(self, model: Any) -> str:
        if not tf.config.list_physical_devices("GPU"):
            return "cpu"
        return "cuda" if tf.test.is_built_with_cuda() else "mps"

    def default_lose(
        self, analysis_type: str, label_width: int, outputs: str | None = None
    ) -> keras.losses.Loss:
        losses, logits = keras.losses, outputs == LOGITS
        if analysis_type == AnalysisType.BINARY:
            return losses.BinaryCrossentropy(from_logits=logits)
        if analysis_type == AnalysisType.REGRESSION:
            return losses.MeanAbsoluteError()
        if label_width > 1:
            return losses.CategoricalCrossentropy(from_logits=logits)
        return losses.SparseCategoricalCrossentropy(from_logits=logits)

    def optimizer(self, fn_optimize: Any, model: Any, hyperparameters: Any) -> Any:
        if fn_optimize is None:
            return keras.optimizers.Adamax(DEFAULT_RATE)
        made = fn_optimize(**hyperparameters)
        name = type(made).__name__
        if isinstance(made, keras.optimizers.schedules.LearningRateSchedule):
            raise TrainingError(
                f"fn_optimize: returned a schedule ({name}); return an optimizer that has it, as "
                f"keras.optimizers.Adam(learning_rate={name}(…))."
            )
        if not isinstance(made, keras.optimizers.Optimizer | str | dict):
            given = f"the class {made.__name__}" if isinstance(made, type) else name
            message = f"fn_optimize: returned {given}; return an optimizer, as "
            raise TrainingError(message + "keras.optimizers.Adam(0.01).")
        return made

    def is_loss(self, value: Any) -> bool:
        return isinstance(value, str) or super().is_loss(value)

    def model_and_history(self, returned: Any) -> tuple[keras.Model, Any]:
        parts = returned if isinstance(returned, tuple) else (returned,)
        models = [part for part in parts if isinstance(part, keras.Model)]
        others = [part for part in parts if not isinstance(part, keras.Model)]
        if len(models) != 1 or len(others) > 1:
            raise TrainingError(
                f"fn_train: returned {[type(part).__name__ for part in parts]}; return the model "
                "after model.fit, which keeps its history."
            )
        given = others[0] if others else getattr(models[0], "history", None)
        history = getattr(given, "history", given) or {}
        if not isinstance(history, dict):
            raise TrainingError(
                f"fn_train: returned {type(history).__name__} as history; return the model alone, "
                "or a dict of lists with it."
            )
        return models[0], history

    def learning(self, model: Any, optimizer: Any) -> list[Any]:
        rate = getattr(optimizer, "learning_rate", None)
        moves = rate is None or callable(rate) or float(rate) != 0
        return [as_array(each) for each in model.trainable_variables if moves]

    def has_stepped(self, model: Any) -> bool:
        made = getattr(model, "optimizer", None)
        return made is not None and int(made.iterations) > 0

    def stopped_early(self, model: Any) -> bool:
        history = getattr(model, "history", None)
        wanted = (getattr(history, "params", None) or {}).get("epochs", 0)
        done = getattr(history, "epoch", None) or [wanted]
        return bool(getattr(model, "stop_training", False)) and done[-1] + 1 < wanted

    def outputs(self, model: Any, features: Any) -> Any:
        # Called directly, as `model.predict` traces a graph first: 30 times slower if small.
        called = ((model(each, training=False), each) for each in self.batches(model, features))
        return np.concatenate([keras_outputs.checked(model, *pair) for pair in called])

    def loss_takes(self, loser: Any) -> str | None:
        logits = getattr(loser, "from_logits", None)
        if logits is not None:
            return LOGITS if logits else PROBABILITIES
        is_name = isinstance(loser, str)
        ours = is_name or str(getattr(loser, "__module__", "")).startswith("keras.")
        name = loser if is_name else getattr(loser, "__name__", type(loser).__name__)
        return PROBABILITIES if ours and "crossentropy" in name.lower() else None

    def loss_of(self, model: Any, loser: Any, output: Any, label: Any) -> float:
        if loser is None or isinstance(loser, str):
            loser = keras.losses.get(loser)
        name = getattr(loser, "__name__", type(loser).__name__).lower()
        # What a user's loss computes is not known.
        compares = loser.__module__.startswith("keras.") and not (
            "sparse" in name or "ctc" in name
        )
        shapes = ([n for n in each.shape if n != 1] for each in (output, label))
        if compares and next(shapes) != next(shapes):
            raise ValueError(
                f"the model's output has shape {output.shape}, the label {label.shape}: a loss "
                "would broadcast them silently. Let the model end with label_shape outputs."
            )
        return float(np.mean(as_array(loser(label, output))))

    def rehearsed(self, parts: Any, build: Any, optimize: Any, few: Any) -> Any:
        with saving.names_kept(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the training itself says them
            try:
                twin = build()
                if getattr(twin, "optimizer", None) is None:
                    twin.compile(optimizer=optimize(twin), loss=parts[2])
                twin.optimizer.build(twin.trainable_variables)
                expected = self.outputs(twin, few)
            except TrainingError:
                raise
            except Exception:  # noqa: BLE001 - the training shows it, or mends it
                return None
            loaded = self.load(self.save(twin, None), build, optimize)
            if not np.array_equal(expected, self.outputs(twin, few)):
                return None  # it draws numbers when it is asked
            return expected, self.outputs(loaded, few), self.lost(twin, loaded)

    def keep(self, model: Any, path: Path) -> Path:
        file = path.with_suffix(".weights.h5")  # for `model.load_weights(file)`
        model.save_weights(file)
        return file

    def save(self, model: Any, optimizer: Any) -> bytes:
        return saving.pack(model)  # with the state of the optimizer that it is compiled with

    def load(self, data: bytes, build: Any, optimize: Any) -> keras.Model:
        return saving.unpack(data, build, optimize, keras.models.load_model)


@contextmanager
def _gradients_forgotten() -> Generator[None]:
    """Forget the gradients that were registered inside of the `with` block.

    `tf.custom_gradient`, which Keras uses in every training step, registers a function for each
    traced graph and never removes it. The function holds the graph, and with it all variables of
    model and optimizer, which nothing needs once a Job is over.
    """
    registry: dict[str, object] = ops.gradient_registry._registry  # noqa: SLF001 - no public way
    before = set(registry)
    try:
        yield
    finally:
        for name in set(registry) - before:
            if name.startswith("CustomGradient-"):
                del registry[name]


BACKEND = KerasBackend()
