"""Store a Keras model as a file that holds no code, and find what such a file leaves out."""
# pyright: reportAttributeAccessIssue=false
# (pyright takes `import keras` for the file keras.py beside this one)

from __future__ import annotations

import copy
import io
import tempfile
import warnings
import zipfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.errors import TrainingError
from aiqc_core.stages.train.backends import attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

FILE, WEIGHTS = "model.keras", "model.weights.h5"
TRAINED = {"history", "optimizer", "loss", "inputs", "outputs"}
UNDESCRIBED = (NotImplementedError, TypeError, ValueError, AttributeError)


def pack(model: Any) -> bytes:
    """Return a model as a `.keras` file, with the state of the optimizer it is compiled with.

    Where a model cannot be described, as a class without `get_config`, return the weights alone:
    they go into the model that `fn_build` makes.

    Raises:
        TrainingError: the weights cannot be written either.
    """
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You are saving a model that has not yet been built")
        path, weights = Path(folder) / FILE, Path(folder) / WEIGHTS
        with suppress(*UNDESCRIBED, OSError):  # of a lambda without its text
            model.save(path)
            return path.read_bytes()
        try:
            model.save_weights(weights)
        except UNDESCRIBED as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise TrainingError(
                f"the model ({type(model).__name__}) cannot be stored: "
                f"{' '.join(lines[:3]).rstrip('.')}. Give its class a get_config that returns the "
                "arguments of __init__, and build it before training, by an Input."
            ) from error
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.write(weights, WEIGHTS)
        return buffer.getvalue()


def unpack(
    data: bytes, build: Callable[[], Any], optimize: Callable[[Any], Any], load: Callable[..., Any]
) -> Any:
    """Load what `pack` gave by `load`, Keras' own, in safe mode: it may hold no code.

    A file that names classes of the user is read into the model that `build` makes, whose
    optimizer `optimize` makes.

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
            with zipfile.ZipFile(path) as archive:
                if archive.namelist() == [WEIGHTS]:
                    return _filled(Path(archive.extract(WEIGHTS, folder)), build(), optimize)
            return load(path, safe_mode=True)
        except (TypeError, ValueError):
            return _filled(path, build(), optimize)
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise TrainingError(
                f"the stored model cannot be read: it is damaged ({error})."
            ) from error


def _filled(path: Path, model: Any, optimize: Callable[[Any], Any]) -> Any:
    faults: list[Exception] = []
    for has_stepped in (True, False):  # an optimizer that never did has other variables
        try:
            model.compile(optimizer=optimize(model))
            if model.built and has_stepped:
                model.optimizer.build(model.trainable_variables)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Skipping variable loading for optimizer")
                model.load_weights(path)
        except (TypeError, ValueError) as error:
            faults.append(error)
        else:
            return model
    raise TrainingError(
        "the trained model cannot be loaded again: it holds classes or functions of its own "
        "(a Lambda layer, say), and fn_build makes another model. Return from fn_train the "
        f"model that it was given, built with an Input. ({faults[0]})"
    ) from faults[0]


def built(model: Any, shapes: list[tuple[int, ...]]) -> Any:
    """Return a model after it has seen samples of these shapes, so that it has its weights."""
    if not model.built or not model.weights:
        given = [np.zeros((1, *shape), dtype=np.float32) for shape in shapes]
        model(given[0] if len(given) == 1 else given, training=False)
    return model


def lost(trained: Any, loaded: Any) -> list[str]:
    """Return the state of a trained model that its file does not hold, for people."""
    import keras  # noqa: PLC0415 - loaded by whoever made the models

    # What Keras keeps there itself.
    own = {*vars(keras.Sequential()), *vars(keras.layers.Layer()), *TRAINED}
    found: list[str] = []
    layers = [list(model._flatten_layers()) for model in (trained, loaded)]  # noqa: SLF001
    for layer, twin in zip(*layers, strict=False):
        if type(layer).__module__.startswith("keras."):
            continue  # its settings are stored
        place = "" if layer is trained else f" of the layer {layer.name!r}"
        aside = [
            {k: v for k, v in vars(each).items() if k not in own and k[0] != "_"}
            for each in (layer, twin)
        ]
        found += [f"attribute {each}{place}" for each in attributes.changed(*aside)]
    return found


def global_setting(name: str) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    """Return how to read and set what Keras keeps of the process; None where nothing was set."""
    from keras.src.backend.common import global_state  # noqa: PLC0415 - loaded with Keras

    return (
        lambda: copy.copy(global_state.get_global_attribute(name)),
        lambda value: global_state.set_global_attribute(name, value),
    )


@contextmanager
def names_kept() -> Generator[None]:
    """Leave the numbers that Keras gives to names, such as `auc_1`, as they were."""
    read, change = global_setting("object_name_uids")
    before = read()
    try:
        yield
    finally:
        change(before)
