"""Numbers that rows are known by: given out once, whatever was deleted in between."""

from __future__ import annotations

import multiprocessing
import os

import inference_setups
import pandas as pd
import pytest
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from aiqc_core.config import DATABASE_VARIABLE
from aiqc_core.orm import (
    Dataset,
    Feature,
    FeatureCoder,
    FeatureInterpolater,
    Hyperparamcombo,
    Predictor,
    Splitset,
    metastore,
)
from aiqc_core.orm.tables import numbering

FRAME = pd.DataFrame({"a": range(40), "b": range(40), "c": range(40)}, dtype="float64")


def cut(seed: int) -> Splitset:
    return Splitset.make([1], size_test=0.2, name="cut", seed=seed)


def test_a_version_is_not_given_twice(store: str) -> None:
    """A count gave version 2 again after version 1 was deleted: UNIQUE constraint failed."""
    Feature.from_dataset(Dataset.Tabular.from_df(FRAME).id)
    first, second = cut(1), cut(2)
    first.delete_instance(cascade=True)
    assert cut(3).version == 3
    cut(3).delete_instance(cascade=True)
    assert (second.version, cut(4).version) == (2, 4)


def test_a_version_of_data_is_not_given_twice(store: str) -> None:
    versions = list[int]()
    for shift in range(3):
        row = Dataset.Tabular.from_df(FRAME + shift, name="data")
        versions.append(row.version)
        row.delete_instance()
    assert versions == [1, 2, 3]


def test_another_coder_comes_behind_those_that_are_left(store: str) -> None:
    feature = Feature.from_dataset(Dataset.Tabular.from_df(FRAME).id)
    for made in (
        [FeatureCoder.from_feature(feature.id, StandardScaler(), columns=[c]) for c in "ab"],
        [FeatureInterpolater.from_feature(feature.id, columns=[c]) for c in "ab"],
    ):
        made[0].delete_instance()
        again = (
            FeatureCoder.from_feature(feature.id, MinMaxScaler(), columns=["a"])
            if isinstance(made[0], FeatureCoder)
            else FeatureInterpolater.from_feature(feature.id, columns=["a"])
        )
        assert [row.idx for row in (*made[1:], again)] == [1, 2]


def test_a_place_follows_the_last_one(store: str) -> None:
    assert numbering.next_index(Hyperparamcombo.select(), Hyperparamcombo.idx) == 0


@pytest.mark.slow
def test_new_data_are_not_predicted_under_a_name_that_others_had(store: str) -> None:
    made, _ = inference_setups.tabular()
    inference_setups.trained(made, "classification_binary", inference_setups.sigmoid_build)
    predictor = Predictor.get_by_id(1)

    def new() -> Splitset:
        return Splitset.make(made.feature_ids, predictor_id=predictor.id)

    first, second = new(), new()
    assert [*first.sizes, *second.sizes] == ["infer_0", "infer_1"]
    first.delete_instance(cascade=True)
    assert list(new().sizes) == ["infer_2"]


def _make_versions(home: str, database: str | None, numbers: range) -> None:
    os.environ["AIQC_HOME"] = home
    if database is not None:
        os.environ[DATABASE_VARIABLE] = database
    for number in numbers:
        Dataset.Tabular.from_df(FRAME + number, name="data")


@pytest.mark.slow
def test_processes_that_register_at_once_get_a_version_each(store: str) -> None:
    Dataset.select().count()
    metastore.close()
    context = multiprocessing.get_context("spawn")
    place = (os.environ["AIQC_HOME"], os.environ.get(DATABASE_VARIABLE))
    made = [
        context.Process(target=_make_versions, args=(*place, range(k, k + 4))) for k in (0, 4, 8)
    ]
    for process in made:
        process.start()
    for process in made:
        process.join()
    assert sorted(row.version for row in Dataset.select()) == list(range(1, 13))
