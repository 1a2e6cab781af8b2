"""A small training of either framework, as a specification over arrays written to a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.stages.preprocess.pipeline import FittedLabel
from aiqc_core.stages.train.functions.capture import capture
from aiqc_core.stages.train.spec import JobSpec

if TYPE_CHECKING:
    from pathlib import Path

SAMPLES = {"train": 40, "validation": 12, "test": 9}
ROLES = ("fn_build", "fn_train", "fn_predict", "fn_lose", "fn_optimize")


def features(split: str) -> np.ndarray:
    """Three numbers a sample."""
    return np.random.default_rng(SAMPLES[split]).normal(size=(SAMPLES[split], 3))


def label(split: str) -> np.ndarray:
    """Whether their sum is positive, as 0 and 1."""
    return (features(split).sum(axis=1, keepdims=True) > 0).astype(np.int64)


def torch_build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    """Logistic regression."""
    from torch import nn

    return nn.Sequential(nn.Linear(features_shape[0], label_shape[0]), nn.Sigmoid())


def torch_train(
    model: Any, loser: Any, optimizer: Any, x: Any, y: Any, eval_x: Any, eval_y: Any, **hp: Any
) -> Any:
    """Three epochs."""
    from aiqc_core.utils.pytorch import fit

    return fit(model, loser, optimizer, x, y, eval_x, eval_y, epochs=3, batch_size=8)


def keras_build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    """Logistic regression."""
    import keras

    dense = keras.layers.Dense(label_shape[0], "sigmoid")
    return keras.Sequential([keras.layers.Input(features_shape), dense])


def keras_train(
    model: Any, loser: Any, optimizer: Any, x: Any, y: Any, eval_x: Any, eval_y: Any, **hp: Any
) -> Any:
    """Three epochs."""
    model.compile(loss=loser, optimizer=optimizer)
    model.fit(x, y, validation_data=(eval_x, eval_y), epochs=3, batch_size=8, verbose=0)
    return model


GIVEN = {
    "pytorch": {"fn_build": torch_build, "fn_train": torch_train},
    "keras": {"fn_build": keras_build, "fn_train": keras_train},
}


def make_spec(folder: Path, library: str = "pytorch", **changes: Any) -> JobSpec:
    """Write the arrays, and return a specification over them; functions are given by role."""
    for split in SAMPLES:
        (folder / split).mkdir(parents=True, exist_ok=True)
        np.save(folder / split / "feature_0.npy", features(split))
        np.save(folder / split / "label.npy", label(split))
    user = {role: changes.pop(role, GIVEN[library].get(role)) for role in ROLES}
    values: dict[str, Any] = {
        "job_id": 1, "repeat_index": 0, "name": "job", "library": library,
        "analysis_type": "classification_binary",
        "functions": {role: fn and capture(role, fn).payload for role, fn in user.items()},
        "hyperparameters": {}, "seed": 5,
        "samples": {split: str(folder / split) for split in SAMPLES},
        "key_train": "train", "key_evaluation": "validation", "feature_count": 1,
        "label": FittedLabel(("y",), None, (0, 1)),
        "column_groups": ({"a": (0,), "b": (1,), "c": (2,)},), "permute_count": 0,
    }  # fmt: skip
    return JobSpec(**(values | changes))
