"""A split's scores over labels of every kind: against scikit-learn on the labels themselves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.preprocessing import (
    LabelBinarizer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    StandardScaler,
)

from aiqc_core.stages.evaluate import metrics
from aiqc_core.stages.preprocess import encode
from aiqc_core.stages.preprocess.pipeline import FittedLabel
from aiqc_core.stages.train import scoring

CLASSES: list[tuple[Any, ...]] = [
    ("<=50K", ">50K"),
    (False, True),
    (0, 1),
    ("a", "b", "c"),
    (-3, 0, 7, 12),
    ("x", "y", "z", "é"),
]


def coded(classes: tuple[Any, ...], coder: Any, truth: list[int]) -> tuple[FittedLabel, Any]:
    """Return a fitted label, and the truth as a model sees it."""
    if coder is None:
        return FittedLabel(("y",), None, classes), np.array(truth)[:, None]
    fitted = encode.fit(pd.DataFrame({"y": list(classes)}), encode.checked(coder))
    shown = pd.DataFrame({"y": [classes[code] for code in truth]})
    return FittedLabel(("y",), fitted, classes), encode.apply(fitted, shown)


@given(
    st.sampled_from(CLASSES),
    st.sampled_from([None, OrdinalEncoder(), OneHotEncoder(), LabelBinarizer()]),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=12),
    st.data(),
)
def test_classes_are_scored_as_scikit_learn_scores_the_labels_themselves(
    classes: tuple[Any, ...], coder: Any, pairs: list[tuple[int, int]], data: st.DataObject
) -> None:
    """B28, B30, B56, A07: absent classes, one row, a class never predicted, words and truths."""
    count = len(classes)
    truth, said = ([code % count for code in codes] for codes in zip(*pairs, strict=True))
    label, encoded = coded(classes, coder, truth)
    tenths = st.lists(st.integers(0, 10), min_size=count, max_size=count)
    share = np.array([data.draw(tenths) for _ in truth]) / 10
    binary = count == 2
    found = scoring.score(
        "classification_binary" if binary else "classification_multi",
        label, (np.array(said), share[:, 1] if binary else share), encoded, 0.5,
    )  # fmt: skip
    assert found.predictions.tolist() == [classes[code] for code in said]
    names, spoken = ([str(classes[code]) for code in codes] for codes in (truth, said))
    order = [str(name) for name in classes]
    options: dict[str, Any] = {"labels": order, "zero_division": 0, "average": "weighted"}
    if binary:
        options = {"pos_label": order[1], "zero_division": 0}
    expected = {
        "accuracy": np.mean([t == s for t, s in zip(names, spoken, strict=True)]),
        "f1": sk.f1_score(names, spoken, **options),
        "loss": 0.5,
        "precision": sk.precision_score(names, spoken, **options),
        "recall": sk.recall_score(names, spoken, **options),
    }
    assert {n: v for n, v in found.values.items() if n != "roc_auc"} == pytest.approx(expected)
    if len(set(truth)) < count:
        assert math.isnan(found.values["roc_auc"])
        assert "have no sample in this split" in found.notes["roc_auc"]
    else:
        areas = [sk.roc_auc_score(np.array(truth) == c, share[:, c]) for c in range(count)]
        area = areas[1] if binary else np.average(areas, weights=np.bincount(truth))
        assert found.values["roc_auc"] == pytest.approx(area)
    assert found.plot_data is not None
    matrix = [[sum(p == (t, s) for p in zip(truth, said, strict=True)) for s in range(count)]
              for t in range(count)]  # fmt: skip
    assert found.plot_data["confusion_matrix"] == matrix
    # What is recorded gives the same scores again.
    again = metrics.record_scorer(
        "classification_binary" if binary else "classification_multi",
        label, encoded, found.predictions, found.probabilities,
    )(np.ones((1, len(truth))))  # fmt: skip
    reported = {name: float(values[0]) for name, values in again.items()}
    assert reported == pytest.approx(
        {n: v for n, v in found.values.items() if n != "loss"}, nan_ok=True
    )


def r2_by_hand(truth: list[float], said: list[float]) -> float:
    """Return 1 - SSE / SST, NaN where nothing varies."""
    mean = sum(truth) / len(truth)
    total = sum((t - mean) ** 2 for t in truth)
    if len(truth) == 1 or max(truth) == min(truth):
        return math.nan
    return 1 - sum((t - s) ** 2 for t, s in zip(truth, said, strict=True)) / total


@given(
    st.sampled_from([StandardScaler(), MinMaxScaler((-1, 1)), PowerTransformer(), None]),
    st.lists(st.tuples(st.integers(1, 100), st.integers(-20, 20)), min_size=1, max_size=10),
)
@example(StandardScaler(), [(3, 6)])
@example(None, [(2, 0), (2, 0)])
@example(MinMaxScaler(), [(2, 1), (2, -1), (2, 3)])
def test_numbers_are_scored_by_hand_in_both_units(
    scaler: Any, pairs: list[tuple[int, int]]
) -> None:
    """B55: one row and a constant target explain nothing; the rest is arithmetic."""
    truth = [float(value) for value, _ in pairs]
    taught = pd.DataFrame({"y": np.linspace(1.0, 100.0, 40)})
    fitted = None if scaler is None else encode.fit(taught, encode.checked(scaler))
    label = FittedLabel(("y",), fitted, None)
    shown = pd.DataFrame({"y": truth})
    encoded = shown.to_numpy() if fitted is None else encode.apply(fitted, shown)
    off = np.array([[error / 50] for _, error in pairs])
    computed = encoded + off
    if isinstance(scaler, PowerTransformer):
        assume((np.abs(computed) < 1.5).all())  # beyond that its inverse is not defined
    found = scoring.score("regression", label, (computed, None), encoded, 0.1)
    units = [("", encoded.ravel().tolist(), computed.ravel().tolist())]
    if fitted is not None:
        units.append(("_decoded", truth, np.ravel(found.predictions).tolist()))
    for suffix, real, said in units:
        gaps = [s - t for s, t in zip(said, real, strict=True)]
        expected = {
            "mae": sum(map(abs, gaps)) / len(gaps),
            "mse": sum(gap**2 for gap in gaps) / len(gaps),
            "rmse": math.sqrt(sum(gap**2 for gap in gaps) / len(gaps)),
            "r2": r2_by_hand(real, said),
        }
        values = {name: found.values[name + suffix] for name in expected}
        assert values == pytest.approx(expected, nan_ok=True, rel=1e-6, abs=1e-9)
        undefined = math.isnan(expected["r2"])
        assert math.isnan(found.values["explained_variance" + suffix]) == undefined
        assert ("r2" + suffix in found.notes) == undefined
    again = metrics.record_scorer("regression", label, encoded, found.predictions, None)
    reported = {name: float(values[0]) for name, values in again(np.ones((1, len(pairs)))).items()}
    assert reported == pytest.approx(
        {n: v for n, v in found.values.items() if n != "loss"}, nan_ok=True, rel=1e-5, abs=1e-7
    )
