"""What encoders pass over is reported: by column, count and value."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    MultiLabelBinarizer,
    OneHotEncoder,
    OrdinalEncoder,
)

from aiqc_core.stages.preprocess import encode, unknown

COLOURS = ["red", "blue", "red", "green"]
PASSING: dict[str, tuple[Any, list[Any], list[Any], str]] = {
    "ignore": (OneHotEncoder(handle_unknown="ignore"), COLOURS, ["red", "pink", "pink"], "2 of 3"),
    "warn": (OneHotEncoder(handle_unknown="warn"), COLOURS, ["pink", "red", "blue"], "1 of 3"),
    "rare": (
        OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=2),
        COLOURS, ["green", "pink", "red"], "1 of 3",
    ),
    "dropped": (
        OneHotEncoder(handle_unknown="ignore", drop="first"), COLOURS, ["pink"] * 3, "3 of 3",
    ),
    "code": (
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
        COLOURS, ["red", "pink", None], "2 of 3",
    ),
    "numbers": (OneHotEncoder(handle_unknown="ignore"), [1, 2, 3], [1, 9, 2], "1 of 3"),
    "sets": (MultiLabelBinarizer(), ["ab", "b"], ["ab", "az", "b"], "1 of 3"),
    "words": (CountVectorizer(), ["a red cat", "blue dog"], ["red", "a", "sea bird"], "1 of 3"),
}  # fmt: skip


@pytest.mark.parametrize("kind", PASSING)
def test_values_that_are_passed_over_are_counted_and_the_encoding_stays(kind: str) -> None:
    encoder, learned, new, share = PASSING[kind]
    fitted = encode.fit(pd.DataFrame({"a": learned}), encode.checked(encoder))
    rows = pd.DataFrame({"a": new})
    said = unknown.found([fitted], rows)
    assert said is not None
    assert said.startswith(f"column 'a': {share} values, such as [")
    assert unknown.found([fitted], pd.DataFrame({"a": learned})) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # none of scikit-learn's beside ours
        encoded = encode.apply(fitted, rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = np.array(new, dtype=object)
        given = values if kind == "words" else values.reshape(-1, 1)
        wanted = fitted.encoders[0].transform(given)
    wanted = wanted.toarray() if hasattr(wanted, "toarray") else wanted
    np.testing.assert_array_equal(encoded, wanted)


@pytest.mark.parametrize(
    "encoder", [KBinsDiscretizer(2), MinMaxScaler(), FunctionTransformer(), OrdinalEncoder()]
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_numbers_beyond_a_range_and_what_is_refused_anyway_are_not_reported(encoder: Any) -> None:
    fitted = encode.fit(pd.DataFrame({"a": [1.0, 2.0, 3.0]}), encode.checked(encoder))
    assert unknown.found([fitted], pd.DataFrame({"a": [-5.0, 99.0]})) is None


def test_blanks_that_are_filled_are_no_new_value() -> None:
    ignoring = encode.checked(OneHotEncoder(handle_unknown="ignore"))
    fitted = encode.fit(pd.DataFrame({"a": [1.0, 2.0]}), ignoring)
    rows = pd.DataFrame({"a": [1.0, np.nan]})
    assert unknown.found([fitted], rows, ["a"]) is None
    assert "1 of 2" in str(unknown.found([fitted], rows))
