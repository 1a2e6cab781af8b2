"""A small declared experiment that several test files walk."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.preprocessing import LabelBinarizer, StandardScaler

from aiqc_core.experiment import Experiment, FeatureEncoder, Pipeline, Training


def source(samples: int = 60) -> pd.DataFrame:
    """A class that one number decides."""
    x = np.random.default_rng(0).normal(size=samples)
    return pd.DataFrame({"x": x, "z": x**2, "y": np.where(x > 0, "up", "down")})


def fn_build(features_shape: tuple[int], label_shape: tuple[int], **hp: Any) -> Any:
    """Logistic regression."""
    from torch import nn

    return nn.Sequential(nn.Linear(features_shape[0], label_shape[0]), nn.Sigmoid())


def fn_train(
    model: Any, loser: Any, optimizer: Any, train_features: Any, train_label: Any,
    eval_features: Any, eval_label: Any, **hp: Any,
) -> Any:  # fmt: skip
    """A few epochs."""
    from aiqc_core.utils.pytorch import fit

    return fit(
        model, loser, optimizer, train_features, train_label, eval_features, eval_label,
        epochs=hp["epochs"], batch_size=16,
    )  # fmt: skip


def declare(
    *,
    scaler: Any = None,
    epochs: tuple[int, ...] = (2, 4),
    fold_count: int | None = 2,
    **changes: Any,
) -> Experiment:
    """Declare a small experiment; without folds, a fifth of the rows validates."""
    given: dict[str, Any] = {
        "name": "updown",
        "source": source,
        "pipeline": Pipeline(
            label="y",
            label_encoder=LabelBinarizer(),
            feature_encoders=[FeatureEncoder(encoder=scaler or StandardScaler())],
            size_test=0.2,
            size_validation=None if fold_count else 0.2,
            fold_count=fold_count,
        ),
        "training": Training(
            library="pytorch",
            analysis_type="classification_binary",
            fn_build=fn_build,
            fn_train=fn_train,
            hyperparameters={"epochs": list(epochs)},
            permute_count=0,
        ),
        "seed": 5,
    }
    return Experiment(**(given | changes))
