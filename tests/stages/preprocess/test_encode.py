from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import preprocessing as sk
from sklearn.base import clone
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from strategies import TEXT, numbers

from aiqc_core.errors import PreprocessError, SelectionError
from aiqc_core.stages.preprocess import encode

SCALERS = [
    sk.StandardScaler(), sk.MinMaxScaler(), sk.MaxAbsScaler(), sk.RobustScaler(),
    sk.QuantileTransformer(n_quantiles=4), sk.FunctionTransformer(np.arcsinh, np.sinh),
]  # fmt: skip
TEXTS = pd.DataFrame({"a": ["x", "y", "x", "z"], "b": ["u", "u", "v", "u"]})


def fitted(frame: pd.DataFrame, encoder: object) -> encode.FittedEncoder:
    return encode.fit(frame, encode.checked(encoder))


@pytest.mark.parametrize("scaler", SCALERS, ids=str)
@pytest.mark.filterwarnings("ignore:columns .* are constant")
@given(frame=numbers())
def test_scalers_give_what_scikit_learn_gives_and_invert(scaler: Any, frame: pd.DataFrame) -> None:
    fit = fitted(frame, scaler)
    values = encode.apply(fit, frame)
    np.testing.assert_array_equal(values, clone(scaler).fit_transform(frame.to_numpy()))
    assert fit.dimension == "2D_multiColumn"
    assert fit.output_columns == ("a", "b")
    assert fit.groups == ((0,), (1,))
    if not isinstance(scaler, sk.QuantileTransformer):
        back = encode.invert(fit, values)
        np.testing.assert_allclose(back, frame, rtol=1e-6, atol=1e-6)


@given(st.lists(st.sampled_from(["x", "y", "z", ""]) | TEXT, min_size=1, max_size=12), st.data())
def test_categories_are_encoded_as_scikit_learn_does_and_invert(
    texts: list[str], data: st.DataObject
) -> None:
    frame = pd.DataFrame({"a": texts, "b": range(len(texts))})
    encoder = data.draw(st.sampled_from([sk.OneHotEncoder(), sk.OrdinalEncoder()]))
    fit = fitted(frame, encoder)
    values = encode.apply(fit, frame)
    oracle = encode.checked(encoder).fit_transform(frame.astype(object).to_numpy())
    np.testing.assert_array_equal(values, oracle)
    pd.testing.assert_frame_equal(encode.invert(fit, values), frame, check_dtype=False)
    assert len(set(fit.output_columns)) == values.shape[1] == sum(map(len, fit.groups))


@pytest.mark.parametrize("encoder", [sk.OneHotEncoder(), sk.KBinsDiscretizer(2)])
def test_output_is_a_dense_table(encoder: Any) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0, 1.0, 2.0]})
    values = encode.apply(fitted(frame, encoder), frame)
    assert isinstance(values, np.ndarray)
    np.testing.assert_array_equal(values.sum(axis=1), np.ones(6))


def test_one_hot_names_are_column_and_category() -> None:
    fit = fitted(TEXTS, sk.OneHotEncoder())
    assert fit.output_columns == ("a_x", "a_y", "a_z", "b_u", "b_v")
    assert fit.groups == ((0, 1, 2), (3, 4))
    dropped = fitted(TEXTS, sk.OneHotEncoder(drop="if_binary"))
    assert dropped.output_columns == ("a_x", "a_y", "a_z", "b_v")
    assert dropped.groups == ((0, 1, 2), (3,))


def test_names_never_repeat() -> None:
    frame = pd.DataFrame({"a": ["b_c", "d"], "a_b": ["c", "d"]})
    assert fitted(frame, sk.OneHotEncoder()).output_columns == ("a_b_c", "a_d", "a_b_c_2", "a_b_d")


@pytest.mark.parametrize(
    ("encoder", "dimension", "names"),
    [
        (sk.LabelBinarizer(), "2D_singleColumn", ("a_x", "a_y", "a_z", "b")),
        (sk.LabelEncoder(), "1D", ("a", "b")),
        (sk.OrdinalEncoder(), "2D_multiColumn", ("a", "b")),
        (CountVectorizer(analyzer="char"), "1D", ("a_x", "a_y", "a_z", "b_u", "b_v")),
        (HashingVectorizer(n_features=2), "1D", ("a_0", "a_1", "b_0", "b_1")),
    ],
)
def test_the_dimension_is_found_and_every_output_column_has_a_name(
    encoder: Any, dimension: str, names: tuple[str, ...]
) -> None:
    fit = fitted(TEXTS, encoder)
    assert fit.dimension == dimension
    assert fit.output_columns == names
    assert encode.apply(fit, TEXTS).shape == (4, len(names))
    again = encode.fit(TEXTS, encoder, dimension=dimension)
    np.testing.assert_array_equal(encode.apply(again, TEXTS), encode.apply(fit, TEXTS))


def test_columns_made_of_several_follow_from_each() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    fit = fitted(frame, sk.PolynomialFeatures(include_bias=False))
    assert fit.output_columns == ("a", "b", "a^2", "a b", "b^2")
    assert fit.groups == ((0, 2, 3), (1, 3, 4))
    joined = fitted(frame, sk.FunctionTransformer(lambda v: v.sum(axis=1, keepdims=True)))
    assert joined.output_columns == ("functiontransformer_0",)
    assert joined.groups == ((0,), (0,))
    spline = fitted(frame, sk.SplineTransformer(n_knots=2, degree=1))
    assert spline.output_columns == ("a_sp_0", "a_sp_1", "b_sp_0", "b_sp_1")


@pytest.mark.parametrize("encoder", [sk.LabelEncoder(), sk.LabelBinarizer()])
def test_label_encoders_invert_each_column(encoder: Any) -> None:
    fit = fitted(TEXTS, encoder)
    pd.testing.assert_frame_equal(encode.invert(fit, encode.apply(fit, TEXTS)), TEXTS)


@pytest.mark.parametrize(
    ("classes", "shape"), [("ab", (6, 1)), ("abc", (6, 3)), ("abcdef", (6, 6))]
)
def test_a_label_has_the_width_that_its_classes_need(classes: str, shape: tuple[int, int]) -> None:
    label = pd.DataFrame({"y": (list(classes) * 6)[:6]})
    assert encode.apply(fitted(label, sk.LabelBinarizer()), label).shape == shape
    one_hot = encode.apply(fitted(label, sk.OneHotEncoder()), label)
    assert one_hot.shape == (6, len(classes))
    for ordinal in (sk.OrdinalEncoder(), sk.LabelEncoder()):
        assert encode.apply(fitted(label, ordinal), label).shape == (6, 1)


@pytest.mark.parametrize(
    "encoder", [sk.LabelBinarizer(), sk.LabelEncoder(), sk.OneHotEncoder(), sk.OrdinalEncoder()]
)
@pytest.mark.parametrize("known", [["a", "b"], ["a", "b", "c"]])
def test_values_that_the_fit_did_not_see_are_named(encoder: Any, known: list[str]) -> None:
    fit = fitted(pd.DataFrame({"y": known}), encoder)
    with pytest.raises(PreprocessError, match=r"did not see.*\{'y': \['z'\]\}"):
        encode.apply(fit, pd.DataFrame({"y": ["a", "z"]}))


def test_an_encoder_that_handles_unknown_values_decides() -> None:
    ignoring = fitted(TEXTS[["a"]], sk.OneHotEncoder(handle_unknown="ignore"))
    assert encode.apply(ignoring, pd.DataFrame({"a": ["new"]})).tolist() == [[0.0, 0.0, 0.0]]
    minus = sk.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    assert encode.apply(fitted(TEXTS[["a"]], minus), pd.DataFrame({"a": ["n"]})).tolist() == [[-1]]


@pytest.mark.parametrize(
    "column",
    [
        pd.array(["x", "y", None], dtype="str"),
        pd.array(["x", "y", None], dtype="string"),
        pd.Categorical(["x", "y", None]),
        pd.array([1, 2, None], dtype="Int64"),
        pd.array([True, False, None], dtype="boolean"),
        pd.to_datetime(["2020-01-01", "2020-01-02", None]),
        np.array([1, 2, 2]),
        np.array([True, False, True]),
    ],
)
def test_categories_of_any_dtype_are_encoded(column: Any) -> None:
    frame = pd.DataFrame({"a": column, "other": [0.5, 1.5, 2.5]})
    values = encode.apply(fitted(frame, sk.OneHotEncoder()), frame)
    assert values.shape == (3, pd.Series(column).nunique(dropna=False) + 3)
    np.testing.assert_array_equal(values.sum(axis=1), [2, 2, 2])


def test_numbers_of_several_dtypes_are_scaled_together() -> None:
    frame = pd.DataFrame(
        {
            "i": [1, 2, 3],
            "n": pd.array([1, None, 3], dtype="Int64"),
            "b": [True, False, True],
            "h": np.array([60000, 60000, 50000], dtype="float16"),
        }
    )
    values = encode.apply(fitted(frame, sk.StandardScaler()), frame)
    oracle = sk.StandardScaler().fit_transform(frame.astype("float64").to_numpy())
    np.testing.assert_allclose(values, oracle, rtol=1e-6)


def test_columns_are_found_by_name() -> None:
    fit = fitted(TEXTS, sk.OrdinalEncoder())
    shuffled = TEXTS.assign(extra=1)[["extra", "b", "a"]]
    np.testing.assert_array_equal(encode.apply(fit, shuffled), encode.apply(fit, TEXTS))
    with pytest.raises(SelectionError, match=r"unknown \['b'\]"):
        encode.apply(fit, TEXTS[["a"]])


def test_an_encoder_that_takes_the_columns_no_way_says_why() -> None:
    with pytest.raises(PreprocessError, match=r"StandardScaler\(\) cannot.*'a': 'str'.*'x'"):
        fitted(TEXTS, sk.StandardScaler())


@pytest.mark.parametrize("constant", [14.62, 14620.0, -3.0])
@pytest.mark.parametrize(
    "scaler", [sk.StandardScaler(), sk.MinMaxScaler(), sk.RobustScaler(), sk.PowerTransformer()]
)
def test_a_constant_column_becomes_zero_and_is_named(scaler: Any, constant: float) -> None:
    frame = pd.DataFrame({"useful": np.arange(100.0), "flat": np.full(100, constant)})
    with pytest.warns(UserWarning, match=r"columns \['flat'\] are constant"):
        fit = fitted(frame, scaler)
    assert np.abs(encode.apply(fit, frame)[:, 1]).max() < 1e-9


@pytest.mark.parametrize(
    ("values", "kept"),
    [([0.0] * 8 + [1.0, 2.0], 1), ([4.0] * 8, 1), ([0.0] * 6 + [1.0, 2.0, 3.0, 4.0], 2)],
)
@pytest.mark.parametrize("form", ["ordinal", "onehot"])
def test_bins_that_fall_together_are_reported_and_decode_to_numbers(
    values: list[float], kept: int, form: str
) -> None:
    frame = pd.DataFrame({"useful": np.arange(float(len(values))), "rare": values})
    bins = sk.KBinsDiscretizer(3, encode=form, strategy="quantile")
    with pytest.warns(UserWarning, match=f"column 'rare': its values allow {kept} of the 3 bins"):
        fit = fitted(frame, bins)
    encoded = encode.apply(fit, frame)
    assert encoded.shape == (len(values), 2 if form == "ordinal" else 3 + kept)
    back = encode.invert(fit, encoded)["rare"]
    assert np.isfinite(back).all()
    assert back.between(min(values), max(values)).all()


def test_a_value_beyond_the_inverse_is_reported() -> None:
    label = pd.DataFrame({"y": [0, 0.0005, 0.001, 0.002, 1e-4, 0.5]})
    fit = fitted(label, sk.PowerTransformer())
    with pytest.warns(UserWarning, match="column 'y': 1 of 2 values lie where the inverse"):
        back = encode.invert(fit, np.array([[5.0], [0.0]]))
    assert np.isnan(back["y"][0])
    assert np.isfinite(back["y"][1])


@pytest.mark.parametrize(
    "encoder", [sk.FunctionTransformer(np.log1p), sk.Normalizer(), sk.Binarizer()]
)
def test_without_a_true_inverse_nothing_is_decoded(encoder: Any) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0]})
    fit = fitted(frame, encoder)
    with pytest.raises(PreprocessError, match="has no true inverse"):
        encode.invert(fit, encode.apply(fit, frame))


def test_a_code_that_stands_for_nothing_is_refused() -> None:
    fit = fitted(TEXTS[["a"]], sk.LabelEncoder())
    with pytest.raises(PreprocessError, match=r"\['a'\]: LabelEncoder\(\) cannot decode"):
        encode.invert(fit, np.array([[7.0]]))


def raise_key(values: Any) -> Any:
    raise KeyError(len(values))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda values: values.astype(str), "gives 1 columns of <U"),
        (raise_key, "cannot be fitted"),
        (lambda values: values[:1], "it makes shape"),
        (lambda values: values[None], "it makes shape"),
    ],
)
def test_a_function_that_makes_no_table_of_numbers_is_refused(function: Any, message: str) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0]})
    with pytest.raises(PreprocessError, match=message):
        encode.apply(fitted(frame, sk.FunctionTransformer(function)), frame)


def test_truth_values_count_as_numbers() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0]})
    fit = fitted(frame, sk.FunctionTransformer(lambda values: values > 1))
    assert encode.apply(fit, frame).tolist() == [[0], [1]]


@pytest.mark.parametrize(
    "encoder", [sk.StandardScaler(), sk.PowerTransformer(), sk.KBinsDiscretizer(2), sk.Binarizer()]
)
def test_values_that_are_not_finite_are_counted_by_the_columns_that_hold_them(
    encoder: Any,
) -> None:
    rows = pd.DataFrame({"x": [0.0, 1.0, 2.0], "z": [np.inf, 1.0, -np.inf], "w": [3.0, 4.0, 6.0]})
    with pytest.raises(PreprocessError, match=r"^infinite values, by column: \{'z': 2\}; \w+\("):
        encode.fit(rows, encode.checked(encoder))
    fitted = encode.fit(rows.assign(z=[1.0, 2.0, 4.0]), encode.checked(encoder))
    with pytest.raises(PreprocessError, match=r"^infinite values, by column: \{'z': 2\}; \w+\("):
        encode.apply(fitted, rows)
    gaps = rows.assign(w=[3.0, None, 6.0])
    missing = encode.checked(sk.Normalizer())
    with pytest.raises(PreprocessError, match=r"^missing .*\{'w': 1\}; infinite .*\{'z': 2\}"):
        encode.fit(gaps, missing)


def test_what_overflows_as_it_is_learned_is_refused() -> None:
    """The variance would be infinite, and each encoded value 0."""
    rows = pd.DataFrame({"a": [1.0, 2.0, 1e300], "b": [1.0, 2.0, 3.0]})
    with pytest.raises(
        PreprocessError, match=r"^infinite values, by column: \{'a': 1\}; Standard"
    ):
        encode.fit(rows, encode.checked(sk.StandardScaler()))
    scaled = encode.apply(fitted(rows, sk.MinMaxScaler()), rows)
    assert scaled[:, 0] == pytest.approx([0.0, 0.0, 1.0])


def test_an_encoder_that_cannot_be_stored_is_refused_in_words() -> None:
    import threading

    lock = threading.Lock()

    def locked(values: Any) -> Any:
        with lock:
            return values

    with pytest.raises(PreprocessError, match=r"cannot be stored, .*lock.*by name: lock"):
        encode.checked(sk.FunctionTransformer(locked))
    with pytest.raises(PreprocessError, match=r"names that are not defined: 'nowhere'"):
        encode.checked(sk.FunctionTransformer(lambda x: nowhere + x))  # noqa: F821


def test_data_that_goes_with_an_encoder_is_reported() -> None:
    table = np.zeros(2_000_000)
    with pytest.warns(UserWarning, match=r"FunctionTransformer.* takes 16 MB .*'table' \(16 MB\)"):
        encode.checked(sk.FunctionTransformer(lambda x: x + table[0]))


def test_a_subclass_of_an_encoder_is_one() -> None:
    class Halver(sk.StandardScaler):
        def transform(self, X: Any, copy: Any = None) -> Any:  # noqa: N803 - scikit-learn's name
            return super().transform(X, copy) / 2

    rows = pd.DataFrame({"a": [1.0, 3.0]})
    fitted = encode.fit(rows, encode.checked(Halver()))
    assert encode.apply(fitted, rows).tolist() == [[-0.5], [0.5]]
