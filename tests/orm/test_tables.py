"""One prediction, one table, by name: in a notebook and in the files that leave."""

from __future__ import annotations

from typing import Any

import inference_setups as setups
import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from small_classes import frame, hot, trained

from aiqc_core.orm import Prediction, predicting

TEXT, THREE, BINARY = ["no", "yes"], ["low", "mid", "high"], "classification_binary"
KINDS: dict[str, tuple[pd.DataFrame, Any, str, list[str]]] = {
    "binary": (
        frame(TEXT), OrdinalEncoder(categories=[TEXT[::-1]]), BINARY,
        ["y", "probability_yes", "probability_no"],
    ),
    "multi": (
        frame(THREE), OneHotEncoder(categories=[THREE]), "classification_multi",
        ["y", "probability_low", "probability_mid", "probability_high"],
    ),
    "columns": (
        hot(THREE), None, "classification_multi",
        ["prediction", "probability_low", "probability_mid", "probability_high"],
    ),
    "numbers": (frame([float(i) for i in range(9)]), StandardScaler(), "regression", ["y"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_stored_prediction_is_the_table_of_the_call(kind: str) -> None:
    data, coder, analysis, columns = KINDS[kind]
    predictor = trained(data, coder, analysis=analysis).jobs[0].predictors[0]
    new = data.head(7).assign(id=[f"c{i}" for i in range(7)], probability_yes=0)
    stored = predictor.predict(new, store=True)
    assert isinstance(stored, Prediction)
    table = predicting.table_of(stored)
    taken = "probability_yes" in columns
    carried = ["id", "probability_yes_2" if taken else "probability_yes"]
    assert list(table.columns) == [*columns, *carried]
    assert table["id"].tolist() == new["id"].tolist()
    pd.testing.assert_frame_equal(table, predictor.predict(new, carry=True))
    pd.testing.assert_frame_equal(table[columns], predictor.predict(new))
    assert table.attrs.get("positive") == ("no" if kind == "binary" else None)
    shares = [name for name in columns if name.startswith("probability_")]
    if shares:
        said = table[shares].idxmax(axis=1).str.removeprefix("probability_")
        assert said.tolist() == table[columns[0]].tolist()
        assert table[shares].sum(axis=1).to_numpy() == pytest.approx(1)


def test_windows_carry_what_their_last_row_has_and_pictures_nothing(home: Any) -> None:
    del home
    splitset = setups.windowed()
    predictor = setups.trained(splitset, "regression", setups.flat_build)
    feature = splitset.features[0]
    rows = feature.dataset.to_df()[feature.columns]
    size = feature.windows[0].size_window
    said = predictor.predict(rows.assign(day=np.arange(len(rows))), carry=True)
    assert isinstance(said, np.ndarray)  # windows of columns are no table
    beside = [predicting.take_as("features", rows.assign(day=np.arange(len(rows))), feature).offer]
    ((name, days),) = predicting._carried(predictor, beside)
    assert name == "day"
    assert len(days) == len(said)
    assert (days[-1], days[0]) == (
        len(rows) - 1,
        len(rows) - 1 - (len(said) - 1) * (feature.windows[0].size_shift),
    )
    assert days[0] >= size - 1
