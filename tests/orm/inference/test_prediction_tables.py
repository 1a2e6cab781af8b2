"""One prediction, one table, by name: in a notebook and in the files that leave."""

from __future__ import annotations

from typing import Any

import inference_setups as setups
import numpy as np
import pandas as pd
import pytest
import small_classes
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from small_classes import frame, hot, trained

from aiqc_core.orm import (
    Algorithm,
    Dataset,
    Feature,
    FeatureCoder,
    Label,
    LabelCoder,
    Prediction,
    Queue,
    Splitset,
)
from aiqc_core.orm.inference import predict

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
    table = predict.table_of(stored)
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
    beside = [predict.take_as("features", rows.assign(day=np.arange(len(rows))), feature).offer]
    ((name, days),) = predict._carried(predictor, beside)
    assert name == "day"
    assert len(days) == len(said)
    assert (days[-1], days[0]) == (
        len(rows) - 1,
        len(rows) - 1 - (len(said) - 1) * (feature.windows[0].size_shift),
    )
    assert days[0] >= size - 1


def test_values_that_training_did_not_see_are_reported_by_every_way_to_predict() -> None:
    data = frame(TEXT).assign(id="c")
    data["id"] = np.where(np.arange(len(data)) % 3, "a", "b")
    dataset = Dataset.Tabular.from_df(data)
    feature = Feature.from_dataset(dataset.id, include_columns=["x", "id"])
    FeatureCoder.from_feature(feature.id, OneHotEncoder(handle_unknown="ignore"), columns=["id"])
    label = Label.from_dataset(dataset.id, ["y"])
    LabelCoder.from_label(label.id, OrdinalEncoder())
    splitset = Splitset.make([feature.id], label.id, size_test=0.3, seed=1)
    algorithm = Algorithm.make("pytorch", BINARY, small_classes.fn_build, small_classes.fn_train)
    queue = Queue.from_algorithm(algorithm.id, splitset.id, permute_count=0, seed=1)
    queue.run_jobs(progress=False)
    predictor = queue.jobs[0].predictors[0]
    known = data[["x", "id"]].head(4)
    new = known.assign(id=["a", "z", "z", "b"])
    reported = r"column 'id': 2 of 4 values, such as \['z'\] \(OneHotEncoder\)"
    with pytest.warns(UserWarning, match=reported):
        table = predictor.predict(new)
    assert table.attrs["metric_notes"]["unseen"].startswith("column 'id': 2 of 4")
    assert "unseen" not in predictor.predict(known).attrs["metric_notes"]
    with pytest.warns(UserWarning, match=reported):
        assert predictor.as_estimator().predict(new).tolist() == table["y"].tolist()
    registered = Feature.from_dataset(Dataset.Tabular.from_df(new).id)
    made = Splitset.make([registered.id], predictor_id=predictor.id)
    with pytest.warns(UserWarning, match=reported):
        stored = made.infer()
    assert stored.metric_notes["infer_0"]["unseen"].startswith("column 'id': 2 of 4")
    assert stored.predictions["infer_0"].tolist() == table["y"].tolist()


def test_categories_that_leave_rows_out_are_reported_where_the_coder_is_attached() -> None:
    feature = Feature.from_dataset(Dataset.Tabular.from_df(frame(THREE)).id)
    coder = OneHotEncoder(categories=[["low", "mid"]], handle_unknown="ignore")
    with pytest.warns(UserWarning, match=r"passes over .* column 'y': 30 of 90 .*\['high'\]"):
        FeatureCoder.from_feature(feature.id, coder, columns=["y"])
