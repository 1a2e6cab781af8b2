"""The law of preprocessing: rows outside train change no train array and nothing fitted."""

from __future__ import annotations

import inspect
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import preprocessing as sk

from aiqc_core.errors import PreprocessError
from aiqc_core.stages.preprocess import encode, pipeline, samples, window

TAUGHT_BY_TRAIN = [
    sk.KBinsDiscretizer(3, strategy="quantile", quantile_method="averaged_inverted_cdf"),
    sk.KBinsDiscretizer(3, strategy="uniform", encode="ordinal"),
    sk.KBinsDiscretizer(2, strategy="kmeans"),
    sk.MaxAbsScaler(), sk.MinMaxScaler(clip=True), sk.Normalizer(), sk.PolynomialFeatures(),
    sk.PowerTransformer(), sk.QuantileTransformer(n_quantiles=4),
    sk.QuantileTransformer(n_quantiles=4, subsample=4), sk.RobustScaler(),
    sk.SplineTransformer(n_knots=3, knots="quantile"), sk.StandardScaler(),
]  # fmt: skip
TAUGHT_NOTHING = [sk.Binarizer(threshold=0.5), sk.FunctionTransformer(np.cbrt)]
TAUGHT_BY_ALL = ["OneHotEncoder", "OrdinalEncoder", "LabelEncoder", "LabelBinarizer",
                 "MultiLabelBinarizer"]  # fmt: skip
TAKES_NO_COLUMNS = ["KernelCenterer"]  # a square kernel, of which train is no smaller table
FILLS: list[dict[str, Any]] = [
    {"method": "spline", "limit_direction": "both", "order": 1},
    {"method": "linear", "limit_direction": "both"},
    {"method": "spline", "limit_direction": "both", "order": 3},
    {"method": "pchip", "limit_direction": "both"},
    {"method": "cubicspline", "limit_direction": "both"},
]
KINDS = ["table", "sequence", "image", "windows", "windows of a sequence"]
WAYS = ["alter", "shuffle", "delete"]
INNER = {"sequence": (6,), "image": (2, 6), "windows of a sequence": (3,)}
SIZE, SHIFT = 3, 2
FEW = settings(max_examples=5, deadline=None)
pytestmark = pytest.mark.filterwarnings("ignore:column")


def test_every_encoder_that_is_accepted_is_proved_here_or_excepted() -> None:
    accepted = []
    for name in sk.__all__:
        if inspect.isclass(getattr(sk, name)):
            try:
                encode.checked(getattr(sk, name)())
            except PreprocessError:
                continue
            accepted.append(name)
    proved = {type(encoder).__name__ for encoder in (*TAUGHT_BY_TRAIN, *TAUGHT_NOTHING)}
    assert sorted(accepted) == sorted({*proved, *TAUGHT_BY_ALL, *TAKES_NO_COLUMNS})
    assert not any(encode.is_categorical(encoder) for encoder in TAUGHT_BY_TRAIN)


class Case:
    """Values, how they are cut, and a change of what is not in train.

    Values lie on a grid of thousandths: what a curve or a root makes of the smallest numbers that
    a float can be is not the question here.
    """

    def __init__(self, kind: str, count: int, seed: int) -> None:
        self.kind, self.rng = kind, np.random.default_rng(seed)
        self.windows = None
        if kind.startswith("windows"):
            self.windows = window.plan(SIZE + SHIFT * (count + 1), SIZE, SHIFT)
            count = self.windows.count
        rows = count if self.windows is None else self.windows.samples
        self.values = self.grid((rows, *INNER.get(kind, ()), 2))
        order = self.rng.permutation(count)
        train, test = count * 6 // 10, count - count // 5
        self.splits = {"train": order[:train], "validation": order[train:test],
                       "test": order[test:]}  # fmt: skip

    def grid(self, shape: tuple[int, ...]) -> Any:
        """Draw values."""
        return self.rng.integers(-3000, 3000, shape) / 1000

    def rows(self, *splits: str) -> Any:
        """Return the rows of some splits, sorted."""
        taken = np.concatenate([self.splits[split] for split in splits])
        return np.unique(taken if self.windows is None else self.windows.rows(taken))

    def others(self, *splits: str) -> Any:
        """Return the rows that none of these splits has."""
        return np.setdiff1d(np.arange(len(self.values)), self.rows(*splits))

    def _recipe(self, encoder: Any, fill: dict[str, Any] | None, windows: Any) -> Any:
        steps = ()
        if encoder is not None:
            checked = encode.checked(encoder)
            dimension = encode.fit(self.table(self.values).fillna(0.5), checked).dimension
            step = pipeline.EncoderStep(
                ("a", "b"), checked, dimension, encode.is_categorical(checked)
            )
            steps = (step,)
        fills = () if fill is None else (samples.FillStep(("a", "b"), fill, True),)
        return samples.FeatureRecipe(pipeline.FeaturePlan(("a", "b"), steps), fills, windows)

    def prepared(self, encoder: Any, fill: dict[str, Any] | None = None) -> Any:
        """Fill, fit and cut, as the rows do."""
        values = self.table(self.values) if self.values.ndim == 2 else self.values
        recipe = self._recipe(encoder, fill, self.windows)
        return samples.prepare(values, recipe, self.splits)

    def change(self, way: str, *kept: str, positions_count: bool) -> None:
        """Change rows that these splits do not have; their own positions stay if they count."""
        others = self.others(*kept)
        self.values = self.values.copy()
        if way == "alter":
            self.values[others] = self.grid(self.values[others].shape) * 1e4 + 7
        elif way == "shuffle":
            self.values[others] = self.values[self.rng.permutation(others)]
        elif self.windows is not None:
            self._delete_windows()
        else:
            last = self.rows(*kept).max()
            self._delete(others[others > last] if positions_count else others)

    def _delete(self, gone: Any) -> None:
        stay = np.setdiff1d(np.arange(len(self.values)), gone)
        self.values = self.values[stay]
        self.splits = {
            split: np.searchsorted(stay, rows[np.isin(rows, stay)])
            for split, rows in self.splits.items()
        }

    def _delete_windows(self) -> None:
        """Delete the rows after the last window of train; the windows before them stay."""
        assert self.windows is not None
        count = int(self.splits["train"].max()) + 1
        rows = self.windows.samples - SHIFT * (self.windows.count - count)
        self.windows = window.plan(rows, SIZE, SHIFT)
        assert self.windows.count == count
        self.values = self.values[:rows]
        self.splits = {split: rows[rows < count] for split, rows in self.splits.items()}

    @staticmethod
    def table(values: Any) -> pd.DataFrame:
        """Return all rows as a table."""
        return pd.DataFrame(values.reshape(-1, values.shape[-1]), columns=["a", "b"])


def outcome(case: Case, split: str, *how: Any) -> list[Any]:
    """Return what was fitted and the arrays of a split, or what was said against it."""
    try:
        prepared = case.prepared(*how)
        found = [prepared.samples(split)]
        if case.windows is not None:
            found.append(prepared.samples(split, shifted=True))
    except PreprocessError as error:
        return [str(error)]
    return [joblib.hash(prepared.fitted), prepared.fitted.output_columns, *found]


def assert_same(one: list[Any], other: list[Any]) -> None:
    assert len(one) == len(other)
    for before, after in zip(one, other, strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("encoder", [*TAUGHT_BY_TRAIN, *TAUGHT_NOTHING], ids=str)
@pytest.mark.parametrize("kind", KINDS)
@FEW
@given(count=st.integers(8, 16), seed=st.integers(0, 2**32), way=st.sampled_from(WAYS))
def test_an_encoder_is_taught_by_train_alone(
    encoder: Any, kind: str, count: int, seed: int, way: str
) -> None:
    case = Case(kind, count, seed)
    before = outcome(case, "train", encoder)
    case.change(way, "train", positions_count=False)
    assert_same(outcome(case, "train", encoder), before)


def blank(case: Case) -> None:
    """Leave every table of values at least four known points: six rows of each column stay."""
    rng = np.random.default_rng(len(case.values))
    if case.values.ndim > 2:
        case.values[..., :1, 0] = np.where(case.values[..., :1, 0] > 0, np.nan, 1.0)
        return
    train = case.rows("train")
    case.values[rng.choice(train, len(train) // 3, replace=False), 0] = np.nan
    others = case.others("train")
    case.values[others[: len(others) // 2], 1] = np.nan


@pytest.mark.parametrize("fill", FILLS, ids=lambda fill: fill["method"])
@pytest.mark.parametrize("kind", ["table", "sequence", "image", "windows"])
@FEW
@given(count=st.integers(10, 18), seed=st.integers(0, 2**32), way=st.sampled_from(WAYS))
def test_an_interpolater_is_taught_by_train_alone(
    fill: dict[str, Any], kind: str, count: int, seed: int, way: str
) -> None:
    case = Case(kind, count, seed)
    blank(case)
    before = outcome(case, "train", sk.StandardScaler(), fill)
    case.change(way, "train", positions_count=True)
    assert_same(outcome(case, "train", sk.StandardScaler(), fill), before)


@FEW
@given(count=st.integers(10, 18), seed=st.integers(0, 2**32))
@pytest.mark.parametrize("fill", FILLS[:2], ids=lambda fill: fill["method"])
@pytest.mark.parametrize("kind", ["table", "windows"])
def test_validation_never_sees_test(
    fill: dict[str, Any], kind: str, count: int, seed: int
) -> None:
    case = Case(kind, count, seed)
    blank(case)
    before = outcome(case, "validation", sk.MinMaxScaler(), fill)
    others = case.others("train", "validation")
    assume(len(others))
    case.values[others] = case.values[others] * 1e3 + 5
    assert_same(outcome(case, "validation", sk.MinMaxScaler(), fill), before)


@pytest.mark.parametrize("encoder", [sk.OneHotEncoder(), sk.OrdinalEncoder()], ids=str)
@FEW
@given(count=st.integers(8, 16), seed=st.integers(0, 2**32))
def test_an_encoder_of_categories_knows_all_and_not_where_they_are(
    encoder: Any, count: int, seed: int
) -> None:
    """The exception of the reference: a category that only other rows hold has its code."""
    case = Case("table", count, seed)
    case.values = np.rint(case.values) + 0.0  # of -0.0 and 0.0 the first met is the category
    case.values[case.others("train")[0]] = 9.0
    before = outcome(case, "train", encoder)
    case.change("shuffle", "train", positions_count=False)
    assert_same(outcome(case, "train", encoder), before)
    known = case.prepared(encoder).fitted.encoders[0].encoders[0].categories_
    assert [categories[-1] for categories in known] == [9.0, 9.0]
