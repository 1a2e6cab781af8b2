from __future__ import annotations

import numpy as np
import pytest
from sklearn import preprocessing as sk
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer

from aiqc_core.errors import PreprocessError
from aiqc_core.stages.preprocess.encode import checked, has_inverse, is_categorical


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (sk.StandardScaler, r"the class StandardScaler; give an instance, StandardScaler\(\)"),
        (sk.scale, "not a function such as scale"),
        ("StandardScaler", "give an instance of a class of sklearn.preprocessing"),
        (None, "None; give an instance"),
        (SimpleImputer(), "SimpleImputer"),
        (PCA(), "PCA"),
        (sk.TargetEncoder(), "learns from the label"),
    ],
)
def test_what_is_no_encoder_is_refused(given: object, message: str) -> None:
    with pytest.raises(PreprocessError, match=f"sklearn_preprocess: .*{message}"):
        checked(given)


def test_dense_output_is_forced_on_a_clone() -> None:
    mine = sk.OneHotEncoder(handle_unknown="ignore").set_output(transform="default")
    ours = checked(mine)
    assert ours.sparse_output is False
    assert ours.handle_unknown == "ignore"
    assert mine.sparse_output is True
    bins = sk.KBinsDiscretizer(2)
    assert checked(bins).encode == "onehot-dense"
    assert bins.encode == "onehot"
    assert checked(sk.KBinsDiscretizer(2, encode="ordinal")).encode == "ordinal"
    assert checked(sk.LabelBinarizer(sparse_output=True)).sparse_output is False
    assert checked(sk.StandardScaler(copy=False)).copy is True
    pandas_out = checked(sk.StandardScaler().set_output(transform="pandas"))
    assert isinstance(pandas_out.fit_transform(np.eye(2)), np.ndarray)


CATEGORICAL = {
    sk.OneHotEncoder, sk.OrdinalEncoder, sk.LabelEncoder, sk.LabelBinarizer,
    sk.MultiLabelBinarizer, sk.Binarizer, sk.FunctionTransformer,
}  # fmt: skip
OTHERS = {
    sk.StandardScaler, sk.MinMaxScaler, sk.MaxAbsScaler, sk.RobustScaler, sk.Normalizer,
    sk.PowerTransformer, sk.QuantileTransformer, sk.KBinsDiscretizer, sk.PolynomialFeatures,
    sk.SplineTransformer, CountVectorizer,
}  # fmt: skip


def test_only_what_learns_categories_or_nothing_is_categorical() -> None:
    assert all(is_categorical(checked(kind())) for kind in CATEGORICAL)
    assert not any(is_categorical(checked(kind())) for kind in OTHERS)


@pytest.mark.parametrize(
    ("encoder", "expected"),
    [
        (sk.OneHotEncoder(), True),
        (sk.OneHotEncoder(min_frequency=3), False),
        (sk.OrdinalEncoder(max_categories=2), False),
        (sk.LabelBinarizer(), True),
        (sk.KBinsDiscretizer(), True),
        (sk.PowerTransformer(), True),
        (sk.FunctionTransformer(np.log1p, np.expm1), True),
        (sk.FunctionTransformer(), True),
        (sk.FunctionTransformer(np.log1p), False),
        (sk.Normalizer(), False),
        (sk.Binarizer(), False),
        (sk.MultiLabelBinarizer(), False),
        (sk.PolynomialFeatures(), False),
        (CountVectorizer(), False),
    ],
)
def test_only_a_true_inverse_counts(encoder: object, expected: bool) -> None:  # noqa: FBT001
    assert has_inverse(encoder) is expected
