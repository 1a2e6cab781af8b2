from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import preprocessing as sk
from strategies import numbers

from aiqc_core.errors import PreprocessError, SelectionError
from aiqc_core.stages.preprocess import encode, pipeline

FRAME = pd.DataFrame(
    {
        "n": [1.0, 2.0, 3.0, 10.0],
        "t": ["x", "y", "x", "z"],
        "b": [True, False, True, True],
        "m": [0.0, 1.0, 0.0, 4.0],
    }
)
TRAIN = np.array([0, 1, 2])


def step(encoder: Any, columns: tuple[str, ...], frame: pd.DataFrame) -> pipeline.EncoderStep:
    checked = encode.checked(encoder)
    dimension = encode.fit(frame[list(columns)], checked).dimension
    return pipeline.EncoderStep(columns, checked, dimension, encode.is_categorical(checked))


def test_coders_come_in_order_then_the_columns_that_none_encodes() -> None:
    plan = pipeline.FeaturePlan(
        tuple(FRAME.columns),
        (step(sk.OneHotEncoder(), ("t",), FRAME), step(sk.StandardScaler(), ("n",), FRAME)),
    )
    fitted = pipeline.fit_feature(FRAME, plan, TRAIN)
    assert fitted.output_columns == ("t_x", "t_y", "t_z", "n", "b", "m")
    assert fitted.leftover == ("b", "m")
    assert pipeline.column_groups(fitted) == {"n": (3,), "t": (0, 1, 2), "b": (4,), "m": (5,)}
    values = pipeline.apply_feature(fitted, FRAME)
    scaled = (FRAME["n"] - 2.0) / np.std([1.0, 2.0, 3.0])
    expected = np.column_stack(
        [[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1], scaled, FRAME[["b", "m"]]]
    )
    np.testing.assert_allclose(values, expected.astype(float))


def test_names_are_unique_over_the_feature() -> None:
    frame = pd.DataFrame({"t": ["a", "b"], "u": ["a", "b"], "t_a": [1.0, 2.0], "t_b": [0.0, 1.0]})
    plan = pipeline.FeaturePlan(
        tuple(frame.columns),
        (step(sk.OneHotEncoder(), ("t",), frame), step(sk.OneHotEncoder(), ("u",), frame)),
    )
    fitted = pipeline.fit_feature(frame, plan, np.array([0, 1]))
    assert fitted.output_columns == ("t_a_2", "t_b_2", "u_a", "u_b", "t_a", "t_b")
    assert fitted.encoders[0].output_columns == ("t_a_2", "t_b_2")


LEAK_FREE = [
    sk.StandardScaler(), sk.MinMaxScaler(), sk.MaxAbsScaler(), sk.RobustScaler(),
    sk.QuantileTransformer(n_quantiles=3), sk.PowerTransformer(),
    sk.KBinsDiscretizer(2, strategy="uniform"), sk.SplineTransformer(n_knots=2),
    sk.PolynomialFeatures(), sk.Normalizer(),
]  # fmt: skip


@pytest.mark.parametrize("encoder", LEAK_FREE, ids=str)
@pytest.mark.filterwarnings("ignore:column")
@given(frame=numbers(min_rows=8, limit=1e3), seed=st.integers(0, 99))
def test_no_row_outside_train_changes_what_is_fitted(
    encoder: Any, frame: pd.DataFrame, seed: int
) -> None:
    train = np.sort(np.random.default_rng(seed).permutation(len(frame))[:6])
    changed = frame.copy()
    changed.loc[changed.index.difference(train)] += 1e3
    plan = pipeline.FeaturePlan(("a", "b"), (step(encoder, ("a", "b"), frame),))
    one, other = (pipeline.fit_feature(f, plan, train) for f in (frame, changed))
    assert one.output_columns == other.output_columns
    np.testing.assert_array_equal(
        pipeline.apply_feature(one, frame.iloc[train]),
        pipeline.apply_feature(other, frame.iloc[train]),
    )


def test_categories_are_learned_from_all_rows() -> None:
    plan = pipeline.FeaturePlan(("t",), (step(sk.OrdinalEncoder(), ("t",), FRAME),))
    fitted = pipeline.fit_feature(FRAME, plan, TRAIN)
    assert pipeline.apply_feature(fitted, FRAME).ravel().tolist() == [0, 1, 0, 2]


def test_columns_that_are_no_numbers_are_named() -> None:
    frame = FRAME.assign(c=pd.Categorical([1, 2, 1, 2]), d=pd.to_datetime(["2020-01-01"] * 4))
    fitted = pipeline.fit_feature(frame, pipeline.FeaturePlan(("n", "t", "c", "d")), TRAIN)
    with pytest.raises(
        PreprocessError, match=r"'t': 'str', 'c': 'category', 'd': 'datetime64.*Fe"
    ):
        pipeline.apply_feature(fitted, frame)


@pytest.mark.parametrize("gap", [[1.0, np.nan, np.nan], pd.array([1, None, None], dtype="Int64")])
@pytest.mark.parametrize("encoder", [None, sk.StandardScaler()])
def test_missing_values_that_a_model_would_get_are_named_and_counted(
    gap: Any, encoder: Any
) -> None:
    frame = pd.DataFrame({"whole": [1.0, 2.0, 4.0], "gappy": gap})
    steps = () if encoder is None else (step(encoder, ("whole", "gappy"), frame),)
    fitted = pipeline.fit_feature(
        frame, pipeline.FeaturePlan(("whole", "gappy"), steps), np.arange(3)
    )
    with pytest.raises(PreprocessError, match=r"missing values .*\{'gappy': 2\}"):
        pipeline.apply_feature(fitted, frame)


def test_infinite_values_are_named_and_counted() -> None:
    frame = pd.DataFrame({"a": [1.0, np.inf]})
    fitted = pipeline.fit_feature(frame, pipeline.FeaturePlan(("a",)), np.arange(2))
    with pytest.raises(PreprocessError, match=r"infinite .*\{'a': 1\}"):
        pipeline.apply_feature(fitted, frame)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "Float64"])
def test_infinite_and_missing_values_are_counted_apart(dtype: str) -> None:
    frame = pd.DataFrame(
        {"a": [np.inf, -np.inf, 1.0], "b": [np.nan, np.inf, 1.0], "c": [1.0, 2.0, 3.0]}
    ).astype(dtype)
    fitted = pipeline.fit_feature(frame, pipeline.FeaturePlan(("a", "b", "c")), np.arange(3))
    if dtype == "Float64":
        frame.loc[0, "b"] = pd.NA
    message = r"missing .*\{'b': 1\}; infinite .*\{'a': 2, 'b': 1\}"
    with pytest.raises(PreprocessError, match=message):
        pipeline.apply_feature(fitted, frame)
    label = pipeline.FittedLabel(("a",), None, None)
    with pytest.raises(PreprocessError, match=r"infinite .*\{'a': 2\}"):
        pipeline.apply_label(label, frame)


def test_what_is_infinite_in_float32_is_infinite_for_a_model() -> None:
    largest = float(np.finfo(np.float32).max)
    frame = pd.DataFrame({"a": [largest, 0.0], "b": [-1e39, 1.0]})
    label = pipeline.FittedLabel(("a",), None, None)
    assert pipeline.apply_label(label, frame).tolist() == [[largest], [0.0]]
    with pytest.raises(PreprocessError, match=r"^infinite .*: \{'b': 1\}.*float32"):
        pipeline.apply_label(pipeline.FittedLabel(("b",), None, None), frame)


def test_an_encoder_answers_for_what_it_makes_of_finite_values() -> None:
    frame = pd.DataFrame({"a": [1.0, -2.0, 0.0], "b": [3.0, 4.0, 1e39], "c": [None, 1.0, 2.0]})
    steps = tuple(step(sk.FunctionTransformer(np.log), (name,), frame) for name in "ac")
    fitted = pipeline.fit_feature(frame, pipeline.FeaturePlan(("a", "b", "c"), steps), None)
    with pytest.raises(PreprocessError) as refused:
        pipeline.apply_feature(fitted, frame)
    made, missing, infinite, _ = re.split(r"(?<=\});", str(refused.value))
    assert re.fullmatch(r"NaN or infinity that FunctionTransformer.* makes .*: \{'a': 2\}", made)
    assert missing.endswith("missing values are left after preprocessing, by column: {'c': 1}")
    assert infinite.endswith("infinite values are left after preprocessing, by column: {'b': 1}")


def test_a_column_that_is_not_there_is_named() -> None:
    plan = pipeline.FeaturePlan(("n", "gone"))
    with pytest.raises(SelectionError, match=r"unknown \['gone'\]"):
        pipeline.fit_feature(FRAME, plan, TRAIN)
    fitted = pipeline.fit_feature(FRAME, pipeline.FeaturePlan(("n",)), TRAIN)
    with pytest.raises(SelectionError, match=r"unknown \['n'\]"):
        pipeline.apply_feature(fitted, FRAME[["m"]])


@pytest.mark.parametrize(
    ("values", "encoder", "classes", "codes"),
    [
        (["b", "a", "b"], sk.OrdinalEncoder(), ("a", "b"), [[1], [0], [1]]),
        (["b", "a", "b"], sk.OrdinalEncoder(categories=[["b", "a"]]), ("b", "a"), [[0], [1], [0]]),
        (["b", "a", "b"], sk.LabelBinarizer(), ("a", "b"), [[1], [0], [1]]),
        (["b", "a", "c"], sk.LabelEncoder(), ("a", "b", "c"), [[1], [0], [2]]),
        (["b", "a"], sk.OneHotEncoder(), ("a", "b"), [[0, 1], [1, 0]]),
        ([True, False], sk.OrdinalEncoder(), (False, True), [[1], [0]]),
        ([7, 5], sk.OrdinalEncoder(), (5, 7), [[1], [0]]),
        ([True, False], None, (False, True), [[1], [0]]),
        ([1, 0, 2], None, (0, 1, 2), [[1], [0], [2]]),
    ],
)
def test_the_classes_of_a_label_are_in_the_order_of_their_codes(
    values: list[Any], encoder: Any, classes: tuple[Any, ...], codes: list[list[int]]
) -> None:
    label = pd.DataFrame({"y": values})
    made = None if encoder is None else step(encoder, ("y",), label)
    fitted = pipeline.fit_label(label, made, np.array([0]), classes=sorted(set(values)))
    assert fitted.classes == classes
    assert all(type(c) is type(v) for c, v in zip(classes, sorted(values), strict=False))
    assert pipeline.apply_label(fitted, label).tolist() == codes


def test_a_one_hot_label_has_its_columns_as_classes() -> None:
    label = pd.DataFrame({"cat": [1, 0, 0], "dog": [0, 1, 1]})
    fitted = pipeline.fit_label(label, None, np.arange(3), classes=["cat", "dog"])
    assert fitted.classes == ("cat", "dog")
    assert pipeline.apply_label(fitted, label[["dog", "cat"]]).tolist() == [[1, 0], [0, 1], [0, 1]]


def test_a_continuous_label_is_scaled_by_its_training_rows() -> None:
    label = pd.DataFrame({"y": [1.0, 3.0, 100.0]})
    scaler = step(sk.StandardScaler(), ("y",), label)
    fitted = pipeline.fit_label(label, scaler, np.array([0, 1]), classes=None)
    assert fitted.classes is None
    assert pipeline.apply_label(fitted, label).ravel().tolist() == [-1.0, 1.0, 98.0]


def test_a_label_with_one_class_is_refused() -> None:
    label = pd.DataFrame({"y": ["a"] * 6})
    with pytest.raises(PreprocessError, match=r"one class, \['a'\]"):
        pipeline.fit_label(
            label, step(sk.LabelBinarizer(), ("y",), label), np.arange(6), classes=["a"]
        )


@pytest.mark.parametrize("values", [["a", None, "b"], [0.5, np.nan, 1.0]])
def test_a_missing_label_is_named_by_row(values: list[Any]) -> None:
    label = pd.DataFrame({"y": values})
    with pytest.raises(PreprocessError, match=r"column 'y' is missing in 1 rows, .*\[1\]"):
        pipeline.fit_label(label, None, np.arange(3), classes=None)


def test_text_without_a_coder_is_refused() -> None:
    label = pd.DataFrame({"y": ["a", "b"]})
    fitted = pipeline.fit_label(label, None, np.arange(2), classes=["a", "b"])
    with pytest.raises(PreprocessError, match=r"'y': 'str'.*LabelCoder"):
        pipeline.apply_label(fitted, label)
