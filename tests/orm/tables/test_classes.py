"""Names and numbers of classes agree, whatever coder orders them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    LabelBinarizer,
    LabelEncoder,
    MinMaxScaler,
    MultiLabelBinarizer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)
from small_classes import frame, hot, queue, trained

from aiqc_core.errors import AlgorithmError, PreprocessError
from aiqc_core.orm import LabelCoder, Queue

TEXT, THREE, BINARY = ["ok", "fraud"], ["low", "mid", "high"], "classification_binary"


def turned(values: Any) -> Any:
    """Code the classes 0, 1, 2 backwards."""
    return 2 - values


ORDERED = {
    "ordinal": (frame(THREE), OrdinalEncoder(categories=[THREE])),
    "one-hot": (frame(THREE), OneHotEncoder(categories=[["mid", "high", "low"]])),
    "one-hot that ignores": (
        frame(THREE),
        OneHotEncoder(categories=[["mid", "high", "low"]], handle_unknown="ignore"),
    ),
    "a class that no row has": (frame(THREE), OrdinalEncoder(categories=[[*THREE, "top"]])),
    "sorted": (frame(THREE), LabelEncoder()),
    "sparse": (frame(THREE), LabelBinarizer(sparse_output=True)),
    "a function": (frame([0, 1, 2]), FunctionTransformer(turned, inverse_func=turned)),
    "scaled to codes": (frame([5, 6, 7]), MinMaxScaler((0, 2))),
    "no coder": (frame([0, 1, 2]), None),
    "columns": (hot(["low", "mid", "high"]), None),
    "coded columns": (hot(["low", "mid", "high"]), OrdinalEncoder()),
    "two, ordinal": (frame(TEXT), OrdinalEncoder(categories=[TEXT])),
    "two, one dropped": (frame(TEXT), OneHotEncoder(drop=["ok"])),
    "two, the other dropped": (frame(TEXT), OneHotEncoder(drop=["fraud"])),
    "two, if binary": (frame(TEXT), OneHotEncoder(drop="if_binary")),
    "two, truth values": (frame([True, False]), None),
    "two, binarized": (frame(TEXT), LabelBinarizer()),
}


@pytest.mark.parametrize("kind", ORDERED)
def test_every_place_names_the_classes_as_the_coder_does(kind: str) -> None:
    data, coder = ORDERED[kind]
    is_binary = kind.startswith("two")
    made = trained(data, coder, analysis=BINARY if is_binary else "classification_multi")
    predictor = made.jobs[0].predictors[0]
    prediction = predictor.prediction
    label = made.splitset.label
    is_hot = label.column_count > 1
    matrices = prediction.plot_confusion_matrix(call_display=False)
    for split, figure in zip(prediction.predictions, matrices, strict=True):
        truth = label.to_df(samples=made.splitset.samples[split])
        values = truth.idxmax(axis=1) if is_hot else truth.iloc[:, 0]
        names, said = list(figure.data[0].x), np.array(prediction.predictions[split], dtype=str)
        wanted = metrics.confusion_matrix(values.astype(str), said, labels=names)
        assert [list(row) for row in figure.data[0].text] == wanted.tolist()
        assert sorted(names) == sorted(map(str, predictor.classes))
    assert [str(name) for name in label.classes_by_code()] == names
    table = predictor.predict(data[["x", "z"]])
    shares = table.filter(like="probability_")
    assert [name.removeprefix("probability_") for name in shares] == names
    likeliest = [name.removeprefix("probability_") for name in shares.idxmax(axis=1)]
    assert table.iloc[:, 0].astype(str).tolist() == likeliest
    reported = prediction.trace(0).probabilities
    assert max(reported, key=reported.get) == str(prediction.trace(0).predicted)
    bars = prediction.plot_confidence(0, call_display=False).data[0]
    assert bars.x[int(np.argmax(bars.y))] == str(next(iter(prediction.predictions.values()))[0])


MIXED = {
    "drop": (frame(THREE), OneHotEncoder(drop="first")),
    "drop of numbers": (frame([1, 2, 3]), OneHotEncoder(drop="first")),
    "rare ones": (frame(THREE), OneHotEncoder(min_frequency=0.4)),
    "most": (frame(THREE), OrdinalEncoder(max_categories=2)),
    "signs": (frame(TEXT), LabelBinarizer(neg_label=-1)),
    "twos": (frame(TEXT), LabelBinarizer(pos_label=2)),
    "bins": (frame([1, 2, 3, 4]), KBinsDiscretizer(2, encode="ordinal", strategy="uniform")),
    "scaled": (frame([1, 2, 3]), StandardScaler()),
    "stretched": (frame([1, 2, 3]), MinMaxScaler()),
    "merged": (
        frame([1, 2, 3]),
        FunctionTransformer(np.sign, inverse_func=np.abs, check_inverse=False),
    ),
    "lacking": (frame(THREE), OneHotEncoder(categories=[THREE[:2]], handle_unknown="ignore")),
    "lacking codes": (
        frame(THREE),
        OrdinalEncoder(
            categories=[THREE[:2]], handle_unknown="use_encoded_value", unknown_value=-1
        ),
    ),
    "columns": (hot(["low", "mid", "high"]), OneHotEncoder()),
    "rare": (frame(THREE), OrdinalEncoder(max_categories=2)),
    "sets": (frame(THREE), MultiLabelBinarizer()),
}


@pytest.mark.parametrize("kind", MIXED)
def test_a_coder_that_does_not_tell_the_classes_apart_is_refused_before_training(
    kind: str,
) -> None:
    data, coder = MIXED[kind]
    analysis = BINARY if kind in {"signs", "twos"} else "classification_multi"
    before = Queue.select().count(), LabelCoder.select().count()
    with pytest.raises((AlgorithmError, PreprocessError), match="apart"):
        queue(data, coder, analysis=analysis)
    assert Queue.select().count() == before[0]
    if not pd.api.types.is_numeric_dtype(data["y" if "y" in data else "low"]):
        assert LabelCoder.select().count() == before[1]  # the Label may get another one


def test_whole_numbers_may_be_scaled_to_be_measured() -> None:
    made = queue(frame(list(range(9))), StandardScaler(), analysis="regression")
    assert made.splitset.label.classes_by_code() is None


@pytest.mark.parametrize("coder", [OneHotEncoder(), OrdinalEncoder(), KBinsDiscretizer(3)])
def test_codes_of_classes_are_refused_as_the_target_of_a_regression(coder: Any) -> None:
    with pytest.raises(AlgorithmError, match="codes of classes, which a regression does not"):
        queue(frame([i / 2 for i in range(9)]), coder, analysis="regression")
