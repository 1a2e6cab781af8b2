"""New samples for a trained Predictor: matched by name, preprocessed by its own fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import LabelBinarizer, OneHotEncoder, StandardScaler

from aiqc_core.errors import MetastoreError, PreprocessError, SelectionError, SplitError
from aiqc_core.orm import (
    Algorithm,
    Dataset,
    Feature,
    FeatureCoder,
    Label,
    LabelCoder,
    Predictor,
    Queue,
    Splitset,
    Window,
)

if TYPE_CHECKING:
    from pathlib import Path


def rows(samples: int, shift: float = 0.0) -> pd.DataFrame:
    """Two numbers, a word and a class."""
    x = np.random.default_rng(0).normal(size=(samples, 2)) + shift
    words = np.array(["red", "blue"])[np.arange(samples) % 2]
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": words, "y": np.where(x[:, 0] > 0, 1, 0)})


def fn_build(features_shape: tuple[int], label_shape: tuple[int], **hp: Any) -> Any:
    """Logistic regression."""
    from torch import nn

    return nn.Sequential(nn.Linear(features_shape[0], label_shape[0]), nn.Sigmoid())


def fn_train(
    model: Any, loser: Any, optimizer: Any, train_features: Any, train_label: Any,
    eval_features: Any, eval_label: Any, **hp: Any,
) -> Any:  # fmt: skip
    """Nothing: the fit of the preprocessing is what matters here."""
    return {}, model


@pytest.fixture
def predictor(home: Path) -> Predictor:
    """Train on scaled numbers and one-hot words."""
    dataset = Dataset.Tabular.from_df(rows(40))
    feature = Feature.from_dataset(dataset.id, exclude_columns=["y"])
    FeatureCoder.from_feature(feature.id, StandardScaler(), dtypes=["float64"])
    FeatureCoder.from_feature(feature.id, OneHotEncoder(), columns=["c"])
    label = Label.from_dataset(dataset.id, "y")
    LabelCoder.from_label(label.id, LabelBinarizer())
    splitset = Splitset.make([feature.id], label.id, size_test=0.25, seed=1)
    algorithm = Algorithm.make("pytorch", "classification_binary", fn_build, fn_train)
    queue = Queue.from_algorithm(algorithm.id, splitset.id, permute_count=0, seed=1)
    queue.run_jobs(progress=False)
    return queue.jobs[0].predictors[0]


def new_feature(frame: pd.DataFrame) -> Feature:
    """Register rows and take all their columns."""
    return Feature.from_dataset(Dataset.Tabular.from_df(frame).id)


def test_new_rows_are_encoded_by_what_train_taught(predictor: Predictor) -> None:
    """A14: another order of columns is fine, and an extra one is left out."""
    data = rows(7, shift=5.0).assign(extra=1)[["extra", "c", "b", "a"]]
    splitset = Splitset.make([new_feature(data).id], predictor_id=predictor.id)
    trained = predictor.job.queue.splitset
    train = rows(40).loc[trained.samples["train"], ["a", "b"]]
    scaled = (data[["a", "b"]] - train.mean()) / train.std(ddof=0)
    words = np.stack([data["c"] == "blue", data["c"] == "red"], axis=1)
    assert list(splitset.samples) == ["infer_0"]
    np.testing.assert_allclose(
        splitset.fetch_cache("infer_0", "features"), np.hstack([scaled, words])
    )
    assert (splitset.key_train, splitset.key_evaluation, splitset.key_test) == (None, None, None)
    assert splitset.predictor == predictor
    with pytest.raises(MetastoreError, match="label"):
        splitset.fetch_cache("infer_0", "label")


def test_each_set_of_new_rows_has_a_key_of_its_own_and_one_row_is_enough(
    predictor: Predictor,
) -> None:
    keys = [
        list(Splitset.make([new_feature(rows(n)).id], predictor_id=predictor.id).samples)
        for n in (3, 1)
    ]
    assert keys == [["infer_0"], ["infer_1"]]


def test_a_label_of_new_rows_is_encoded_by_the_predictors_coder(predictor: Predictor) -> None:
    dataset = Dataset.Tabular.from_df(rows(6).assign(y=[0, 1, 0, 1, 0, 1]))
    feature = Feature.from_dataset(dataset.id, exclude_columns=["y"])
    label = Label.from_dataset(dataset.id, "y")
    splitset = Splitset.make([feature.id], label.id, predictor_id=predictor.id)
    encoded = splitset.fetch_cache("infer_0", "label")
    assert np.asarray(encoded).ravel().tolist() == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.drop(columns=["b"]), r"columns \['b'\] are missing"),
        (lambda d: d.assign(a="x"), r"dtypes differ: \{'a': 'str, not float64'\}"),
    ],
)
def test_rows_that_do_not_fit_are_refused_with_all_that_differs(
    predictor: Predictor, change: Any, message: str
) -> None:
    before = Splitset.select().count()
    feature = new_feature(change(rows(5)))
    with pytest.raises(SelectionError, match=message):
        Splitset.make([feature.id], predictor_id=predictor.id)
    assert Splitset.select().count() == before


def test_a_category_that_was_never_seen_is_named(predictor: Predictor) -> None:
    feature = new_feature(rows(4).assign(c=["red", "blue", "green", "red"]))
    splitset = Splitset.make([feature.id], predictor_id=predictor.id)
    with pytest.raises(PreprocessError, match=r"c.*green"):
        splitset.cache_samples()


def test_new_rows_are_not_cut(predictor: Predictor) -> None:
    feature = new_feature(rows(5))
    with pytest.raises(SplitError, match=r"leave out \['size_test'\]"):
        Splitset.make([feature.id], predictor_id=predictor.id, size_test=0.5)


def test_another_window_or_kind_is_refused(predictor: Predictor) -> None:
    windowed = new_feature(rows(9))
    Window.from_feature(windowed.id, 3, 1)
    with pytest.raises(SelectionError, match=r"its window is \[3\], not None"):
        Splitset.make([windowed.id], predictor_id=predictor.id)
    sequence = Feature.from_dataset(Dataset.Sequence.from_numpy(np.zeros((5, 2, 2))).id)
    with pytest.raises(SelectionError, match="it is sequence, not tabular"):
        Splitset.make([sequence.id], predictor_id=predictor.id)
    two = [new_feature(rows(5)).id, sequence.id]
    with pytest.raises(SelectionError, match="takes 1"):
        Splitset.make(two, predictor_id=predictor.id)
