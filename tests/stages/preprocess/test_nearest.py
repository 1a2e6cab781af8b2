"""Numbers that a model gives for codes decode to the nearest code, never to an error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import (
    KBinsDiscretizer,
    LabelEncoder,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)

from aiqc_core.stages.preprocess.encode import nearest_codes
from aiqc_core.stages.preprocess.pipeline import (
    EncoderStep,
    FeaturePlan,
    FittedFeature,
    fit_feature,
    invert_feature,
)

WORDS = pd.DataFrame({"n": [0.0, 1.0, 5.0, 9.0], "w": ["c", "a", "b", "a"]})


def fitted(encoder: Any, dimension: str, frame: pd.DataFrame = WORDS) -> FittedFeature:
    """Scale one column, code the other."""
    steps = (
        EncoderStep(("n",), StandardScaler(), "2D_multiColumn", fit_on_all=False),
        EncoderStep(("w",), encoder, dimension, fit_on_all=True),
    )
    return fit_feature(frame, FeaturePlan(("w", "n"), steps), np.arange(4))


@pytest.mark.parametrize(
    ("encoder", "dimension"), [(OrdinalEncoder(), "2D_multiColumn"), (LabelEncoder(), "1D")]
)
@given(given_=st.lists(st.floats(-9, 9), min_size=1, max_size=5))
def test_a_word_is_that_of_the_nearest_code(
    encoder: Any, dimension: str, given_: list[float]
) -> None:
    feature = fitted(encoder, dimension)
    rows = np.column_stack([np.zeros(len(given_)), given_])
    before = rows.copy()
    decoded = invert_feature(feature, nearest_codes(feature.encoders, rows))
    for value, word in zip(given_, decoded[:, 0], strict=True):
        gaps = {"abc"[code]: abs(code - value) for code in range(3)}
        assert gaps[word] == min(gaps.values())
    assert decoded[:, 1].astype(float) == pytest.approx(np.full(len(rows), 3.75))
    assert (rows == before).all()


def test_a_bin_is_the_nearest_and_what_is_no_code_stays() -> None:
    bins = KBinsDiscretizer(2, encode="ordinal", strategy="uniform")
    numbers = WORDS.assign(w=[0.0, 1.0, 2.0, 4.0])
    feature = fitted(bins, "2D_multiColumn", numbers)
    snapped = nearest_codes(feature.encoders, np.array([[0.3, 7.0], [-2.4, 0.4]]))
    assert snapped.tolist() == [[0.3, 1.0], [-2.4, 0.0]]
    hot = fitted(OneHotEncoder(sparse_output=False), "2D_multiColumn")
    shares = np.array([[0.3, 0.2, 0.7, 0.1]])
    assert nearest_codes(hot.encoders, shares).tolist() == shares.tolist()
