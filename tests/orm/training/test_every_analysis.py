"""Every kind of analysis learns with both frameworks, from one feature and from two."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import LabelBinarizer, OneHotEncoder, StandardScaler

from aiqc_core.orm import (
    Algorithm,
    Dataset,
    Feature,
    FeatureCoder,
    Label,
    LabelCoder,
    Queue,
    Splitset,
    Window,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow  # TensorFlow takes seconds to import

ROWS, EPOCHS = 120, 10
X = np.random.default_rng(0).normal(size=(ROWS, 4))
SCORE = X @ [1.0, -1.0, 0.5, 0.5]
CODES = np.digitize(SCORE, [-0.7, 0.7])
KINDS = {
    "binary": ("classification_binary", LabelBinarizer(), np.where(SCORE > 0, "up", "down")),
    "ordinal": ("classification_multi", None, CODES),
    "one_hot": ("classification_multi", OneHotEncoder(), np.array([*"abc"])[CODES]),
    "regression": ("regression", StandardScaler(), 40 + 3 * SCORE),
}  # fmt: skip


def torch_build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    """Lay all features side by side, and end as the label asks for."""
    import math

    import torch
    from torch import nn

    shapes = features_shape if isinstance(features_shape, list) else [features_shape]
    endings = {"binary": nn.Sigmoid(), "multi": nn.Softmax(dim=1)}

    class Beside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            inputs, outputs = sum(map(math.prod, shapes)), math.prod(label_shape)
            self.layers = nn.Sequential(nn.Linear(inputs, 16), nn.Tanh(), nn.Linear(16, outputs))
            self.ending = endings.get(hp["ending"], nn.Identity())

        def forward(self, *features: Any) -> Any:
            flat = torch.cat([feature.flatten(1) for feature in features], dim=1)
            return self.ending(self.layers(flat)).reshape(-1, *label_shape)

    return Beside()


def torch_train(
    model: Any, loser: Any, optimizer: Any, x: Any, y: Any, eval_x: Any, eval_y: Any, **hp: Any
) -> Any:
    from aiqc_core.utils.pytorch import fit

    return fit(model, loser, optimizer, x, y, eval_x, eval_y, epochs=hp["epochs"], batch_size=16)


def keras_build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    """Lay all features side by side, and end as the label asks for."""
    import math

    from keras import Input, Model, layers

    shapes = features_shape if isinstance(features_shape, list) else [features_shape]
    inputs = [Input(shape) for shape in shapes]
    flat = [layers.Flatten()(each) for each in inputs]
    joined = flat[0] if len(flat) == 1 else layers.Concatenate()(flat)
    activation = {"binary": "sigmoid", "multi": "softmax"}.get(hp["ending"])
    last = layers.Dense(math.prod(label_shape), activation)
    output = layers.Reshape(label_shape)(last(layers.Dense(16, "tanh")(joined)))
    return Model(inputs if len(inputs) > 1 else inputs[0], output)


def keras_train(
    model: Any, loser: Any, optimizer: Any, x: Any, y: Any, eval_x: Any, eval_y: Any, **hp: Any
) -> Any:
    model.compile(loss=loser, optimizer=optimizer)
    model.fit(
        x, y, validation_data=None if eval_y is None else (eval_x, eval_y),
        epochs=hp["epochs"], batch_size=16, verbose=0,
    )  # fmt: skip
    return model


FUNCTIONS = {"pytorch": (torch_build, torch_train), "keras": (keras_build, keras_train)}


def trained(library: str, analysis_type: str, splitset: Splitset) -> Any:
    """Train one model with the default loss, optimizer and predictions."""
    from aiqc_core.orm import Hyperparamset

    algorithm = Algorithm.make(library, analysis_type, *FUNCTIONS[library])
    hp = {"ending": analysis_type.removeprefix("classification_"), "epochs": EPOCHS}
    combos = Hyperparamset.from_algorithm(algorithm.id, hp)
    queue = Queue.from_algorithm(
        algorithm.id, splitset.id, permute_count=0, hyperparamset_id=combos.id, seed=4
    )
    queue.run_jobs(progress=False)
    (predictor,) = queue.jobs[0].predictors
    return predictor


@pytest.mark.parametrize("feature_count", [1, 2])
@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("library", list(FUNCTIONS))
def test_a_label_is_learned(home: Path, library: str, kind: str, feature_count: int) -> None:
    analysis_type, coder, values = KINDS[kind]
    names = ["a", "b", "c", "d"]
    dataset = Dataset.Tabular.from_df(pd.DataFrame(X, columns=names).assign(y=values))
    parts = [names] if feature_count == 1 else [names[:2], names[2:]]
    features = [Feature.from_dataset(dataset.id, columns) for columns in parts]
    label = Label.from_dataset(dataset.id, "y")
    if coder is not None:
        LabelCoder.from_label(label.id, coder)
    splitset = Splitset.make([f.id for f in features], label.id, size_test=0.25, seed=1)
    predictor = trained(library, analysis_type, splitset)
    loss = predictor.history["loss"]
    assert len(loss) == EPOCHS
    assert loss[-1] < 0.7 * loss[0]
    (prediction,) = predictor.predictions
    rows = splitset.positions()["test"]
    said, truth = prediction.predictions["test"], values[rows]
    score = prediction.metrics["test"]
    if kind == "regression":
        assert np.abs(said - truth).mean() < np.abs(truth - truth.mean()).mean() / 2
        assert score["r2_decoded"] > 0.5
    else:
        assert (said == truth).mean() == pytest.approx(score["accuracy"])
        assert score["accuracy"] > 0.7
        assert set(said.tolist()) <= set(values.tolist())


@pytest.mark.parametrize("windowed", [False, True])
@pytest.mark.parametrize("library", list(FUNCTIONS))
def test_a_feature_is_its_own_target(home: Path, library: str, *, windowed: bool) -> None:
    """An autoencoder, and a forecast from each window to the next, in the original units."""
    time = np.arange(ROWS) / 5
    frame = pd.DataFrame({"s": 100 + 10 * np.sin(time), "c": -5 + np.cos(time)})
    feature = Feature.from_dataset(Dataset.Tabular.from_df(frame).id)
    if windowed:
        Window.from_feature(feature.id, size_window=4, size_shift=2)
    FeatureCoder.from_feature(feature.id, StandardScaler())
    cut = {"time_ordered": True, "gap": 2} if windowed else {}
    splitset = Splitset.make([feature.id], size_test=0.25, seed=1, **cut)
    predictor = trained(library, "regression", splitset)
    (prediction,) = predictor.predictions
    said = prediction.predictions["test"]
    assert said.shape[1:] == ((4, 2) if windowed else (2,))
    assert predictor.label_shape == said.shape[1:]
    assert prediction.metrics["test"]["r2_decoded"] > 0.5
    means = said.reshape(-1, 2).mean(axis=0)
    assert means == pytest.approx([100, -5], abs=5)


ELSEWHERE = """
import sys
import numpy as np
from aiqc_core.orm import Predictor
predictor = Predictor.get_by_id(int(sys.argv[1]))
splitset, library = predictor.job.queue.splitset, predictor.job.queue.algorithm.library
model = predictor.get_model()
if library == "keras":
    output = model(np.asarray(splitset.fetch_cache("test", "features"), dtype="float32")).numpy()
    assert int(model.optimizer.iterations) > 0
else:
    model, optimizer = model
    assert not model.training and optimizer.state_dict()["state"]
    output = model(splitset.fetch_cache("test", "features", library="pytorch")).detach().numpy()
stored = predictor.predictions[0].probabilities["test"]
np.testing.assert_array_equal(output.ravel(), stored)
"""


@pytest.mark.parametrize("library", list(FUNCTIONS))
def test_a_model_gives_the_same_to_the_bit_in_a_new_process(home: Path, library: str) -> None:
    """B60, B63: with its optimizer's state; the functions come from the store alone."""
    names = ["a", "b", "c", "d"]
    values = KINDS["binary"][2]
    dataset = Dataset.Tabular.from_df(pd.DataFrame(X, columns=names).assign(y=values))
    label = Label.from_dataset(dataset.id, "y")
    LabelCoder.from_label(label.id, LabelBinarizer())
    feature = Feature.from_dataset(dataset.id, names)
    splitset = Splitset.make([feature.id], label.id, size_test=0.25, seed=1)
    predictor = trained(library, "classification_binary", splitset)
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(predictor.id)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
