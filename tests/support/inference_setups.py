"""Small trained Predictors of each kind of data, for tests of inference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.preprocessing import LabelBinarizer, OneHotEncoder, OrdinalEncoder, StandardScaler

from aiqc_core.orm import (
    Algorithm,
    Dataset,
    Feature,
    FeatureCoder,
    FeatureInterpolater,
    Label,
    LabelCoder,
    LabelInterpolater,
    Predictor,
    Queue,
    Splitset,
    Window,
)

GAPS = (3, 11, 20, 21, 34)


def flat_build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    """Give the label's shape from all values of a sample, by one linear layer."""
    from math import prod

    from torch import nn

    layers = [nn.Flatten(), nn.Linear(prod(features_shape), prod(label_shape))]
    layers += [nn.Unflatten(1, label_shape)] if len(label_shape) > 1 else []
    layers += [nn.Sigmoid()] if hp.get("sigmoid") else []
    return nn.Sequential(*layers)


def two_build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    """Join two features."""
    from math import prod

    import torch
    from torch import nn

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            width = sum(prod(shape) for shape in features_shape)
            self.linear = nn.Linear(width, label_shape[0])

        def forward(self, one: Any, two: Any) -> Any:
            joined = torch.cat([one.flatten(1), two.flatten(1)], dim=1)
            return torch.sigmoid(self.linear(joined))

    return Two()


def torch_train(
    model: Any, loser: Any, optimizer: Any, train_features: Any, train_label: Any,
    eval_features: Any, eval_label: Any, **hp: Any,
) -> Any:  # fmt: skip
    """Train a few epochs."""
    from aiqc_core.utils.pytorch import fit

    return fit(
        model, loser, optimizer, train_features, train_label, eval_features, eval_label,
        epochs=25, batch_size=8,
    )  # fmt: skip


def sigmoid_build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    """Give a probability from all values of a sample."""
    from math import prod

    from torch import nn

    linear = nn.Linear(prod(features_shape), label_shape[0])
    return nn.Sequential(nn.Flatten(), linear, nn.Sigmoid())


def keras_build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    """Give logits of three classes as probabilities."""
    import keras

    layers = keras.layers
    return keras.Sequential(
        [layers.Input(features_shape), layers.Dense(label_shape[0], activation="softmax")]
    )


def keras_train(
    model: Any, loser: Any, optimizer: Any, train_features: Any, train_label: Any,
    eval_features: Any, eval_label: Any, **hp: Any,
) -> Any:  # fmt: skip
    """Train two epochs."""
    model.compile(loss=loser, optimizer=optimizer)
    model.fit(train_features, train_label, epochs=2, batch_size=8, verbose=0)
    return model


def rows(samples: int = 40, seed: int = 0, *, gaps: bool = False) -> pd.DataFrame:
    """Two numbers, a word, and a label of each kind."""
    x = np.random.default_rng(seed).normal(size=(samples, 2))
    words = np.array(["red", "blue", "green"])[np.arange(samples) % 3]
    frame = pd.DataFrame(
        {
            "a": x[:, 0],
            "b": x[:, 1],
            "c": words,
            "y": np.where(x[:, 0] > 0, "up", "down"),
            "z": np.array(["low", "mid", "top"])[np.digitize(x[:, 1], [-0.4, 0.4])],
            "t": 100 + 20 * x[:, 0] - 5 * x[:, 1],
        }
    )
    if gaps:
        frame.loc[list(GAPS), ["a", "t"]] = np.nan
    return frame


def trained(
    splitset: Splitset, analysis_type: str, build: Any, train: Any = torch_train,
    library: str = "pytorch", **functions: Any,
) -> Predictor:  # fmt: skip
    """Train one model and return it."""
    algorithm = Algorithm.make(library, analysis_type, build, train, **functions)
    queue = Queue.from_algorithm(algorithm.id, splitset.id, permute_count=0, seed=1)
    queue.run_jobs(progress=False)
    return queue.jobs[0].predictors[0]


def tabular(
    label: str = "y", *, gaps: bool = False, fold_count: int | None = None
) -> tuple[Splitset, pd.DataFrame]:
    """Scaled numbers and one-hot words, filled where there are gaps."""
    frame = rows(gaps=gaps)
    dataset = Dataset.Tabular.from_df(frame)
    feature = Feature.from_dataset(dataset.id, include_columns=["a", "b", "c"])
    target = Label.from_dataset(dataset.id, label)
    if gaps:
        linear = {"method": "linear", "limit_direction": "both"}
        FeatureInterpolater.from_feature(feature.id, interpolate_kwargs=linear)
        if label == "t":
            LabelInterpolater.from_label(target.id, interpolate_kwargs=linear)
    FeatureCoder.from_feature(feature.id, StandardScaler(), columns=["a", "b"])
    FeatureCoder.from_feature(feature.id, OneHotEncoder(), columns=["c"])
    coders = {"y": LabelBinarizer(), "z": OrdinalEncoder(), "t": StandardScaler()}
    LabelCoder.from_label(target.id, coders[label])
    made = Splitset.make([feature.id], target.id, size_test=0.25, fold_count=fold_count, seed=1)
    return made, frame


def waves(samples: int = 60) -> pd.DataFrame:
    """Two series, a wave and a trend."""
    at = np.arange(samples)
    return pd.DataFrame({"wave": 10 * np.sin(at / 4), "trend": 3.0 * at})


def windowed(*, record_shifted: bool = True) -> Splitset:
    """Windows of 4 rows; learned from the windows before them, or from themselves."""
    dataset = Dataset.Tabular.from_df(waves())
    feature = Feature.from_dataset(dataset.id)
    FeatureCoder.from_feature(feature.id, StandardScaler())
    Window.from_feature(feature.id, 4, 2, record_shifted)
    return Splitset.make(
        [feature.id], size_test=0.2, time_ordered=True, gap=6 if record_shifted else 4, seed=1
    )
