"""The methods that peewee leaves on rows and classes: refused or done, in words of AIQC."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from aiqc_core import config
from aiqc_core.errors import AIQCError, MetastoreError, NotFoundError
from aiqc_core.orm import Algorithm, Dataset, Feature, Queue, Splitset, metastore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FRAME = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [0, 1, 0]})


@pytest.fixture
def dataset(home: Path) -> Dataset:
    """Give a Dataset that a Feature depends on."""
    row = Dataset.Tabular.from_df(FRAME, name="data")
    Feature.from_dataset(row.id, ["a"])
    return row


def _with(row: Dataset, **changed: Any) -> Dataset:
    for name, value in changed.items():
        setattr(row, name, value)
    return row


REFUSED: dict[str, tuple[Callable[[Dataset], Any], str]] = {
    "delete_by_id": (lambda _: Dataset.delete_by_id(1), "Dataset 1 is not deleted.*Feature 1"),
    "del": (lambda _: Dataset.__delitem__(1), "Dataset 1 is not deleted.*Feature 1"),
    "delete_instance": (lambda row: row.delete_instance(), "Feature 1.*cascade=True"),
    "delete": (lambda _: Dataset.delete().execute(), "other rows depend on a row"),
    "delete absent": (lambda _: Dataset.delete_by_id(9), "no row has id 9"),
    "create": (lambda _: Dataset.create(name="x"), "dataset: .* is missing.*from_…, make"),
    "create unknown": (lambda _: Queue.create(nope=1), "no column 'nope'"),
    "create key": (lambda _: Feature.create(columns=[], dataset=99), "not there"),
    "insert": (lambda _: Dataset.insert(name="x").execute(), "is missing"),
    "insert unknown": (lambda _: Dataset.insert(nope=1), "no column 'nope'"),
    "insert_many": (lambda _: Dataset.insert_many([{"name": "x"}]).execute(), "is missing"),
    "bulk_create": (lambda _: Dataset.bulk_create([Dataset(name="x")]), "is missing"),
    "save new": (lambda _: Dataset(name="x").save(), "is missing"),
    "save again": (lambda row: row.save(force_insert=True), "dataset: a row with this id"),
    "update typ": (lambda _: Dataset.update(typ="bogus"), r"Dataset\.typ: 'bogus'.*sequence"),
    "update flag": (lambda _: Dataset.update(is_starred="no"), r"is_starred: 'no'.*True or False"),
    "update time": (
        lambda _: Dataset.update(time_created="now").execute(),
        r"Dataset\.time_created: 'now'",
    ),
    "update JSON": (
        lambda _: Dataset.update(shape={1}).execute(),
        r"Dataset\.shape: \{1\}.*what JSON can hold",
    ),
    "update beyond 64 bits": (lambda _: Dataset.update(version=2**63), r"Dataset\.version"),
    "insert_many text": (
        lambda _: Dataset.insert_many([{"memory_MB": "x"}]),
        r"memory_MB: 'x'.*a whole number",
    ),
    "bulk_update": (
        lambda row: Dataset.bulk_update([_with(row, version="abc")], ["version"]),
        "version: 'abc'",
    ),
    "bulk_update unknown": (lambda row: Dataset.bulk_update([row], ["nope"]), "no column 'nope'"),
    "save": (lambda row: _with(row, version="abc").save(), r"Dataset\.version: 'abc'"),
    "save unknown": (lambda row: row.save(only=["nope"]), "no column 'nope'"),
    "filter": (lambda _: Dataset.filter(nope=1), "'nope'; there are id,"),
    "get_or_none": (lambda _: Dataset.get_or_none(nope=1), "'nope'; there are id,"),
    "raw": (lambda _: list(Dataset.raw("selec *")), "cannot run this statement.*syntax error"),
    "create_table": (lambda _: Dataset.create_table(safe=False), "cannot run.*already exists"),
    "recursive": (lambda row: row.delete_instance(recursive=True), "recursive.*cascade=True"),
    "update null": (lambda _: Dataset.update(typ=None).execute(), "typ is missing"),
    "update unknown": (lambda _: Dataset.update(nope=1), "no column 'nope'"),
    "update key": (lambda _: Feature.update(dataset=99).execute(), "not there"),
    "set_by_id": (lambda _: Dataset.set_by_id(1, {"typ": None}), "typ is missing"),
    "set_by_id absent": (lambda _: Dataset.set_by_id(9, {"name": "x"}), "no row has id 9"),
    "set_by_id unknown": (lambda _: Dataset.set_by_id(1, {"nope": 1}), "no column 'nope'"),
    "get": (lambda _: Dataset.get(Dataset.id == 9), "Dataset: no row matches"),
    "select get": (lambda _: Queue.select().get(), "Queue: no row matches"),
    "item": (lambda _: Dataset[9], "no row has id 9"),
    "get_or_create": (lambda _: Dataset.get_or_create(name="x"), "is missing"),
    "replace": (lambda _: Dataset.replace(id=1, name="x"), "is not replaced"),
    "replace_many": (lambda _: Dataset.replace_many([{"id": 1}]), "is not replaced"),
    "truncate_table": (lambda _: Dataset.truncate_table(), "neither dropped nor emptied"),
    "drop_table": (lambda _: Dataset.drop_table(), "neither dropped nor emptied"),
    "version twice": (
        lambda row: Dataset.insert({**row.__data__, "id": None}).execute(),
        "dataset: a row with this name and version is there already",
    ),
}


@pytest.mark.parametrize("method", REFUSED)
def test_what_would_harm_the_store_is_refused_by_name(dataset: Dataset, method: str) -> None:
    call, words = REFUSED[method]
    with pytest.raises(MetastoreError, match=words):
        call(Dataset.get_by_id(1))
    assert (Dataset.select().count(), Feature.select().count()) == (1, 1)
    assert Dataset.get_by_id(1).name == "data"


@pytest.mark.parametrize("pk", [None, "1", "seven", 1.0, 2.7, True, [1], 2**70, -1, float("nan")])
@pytest.mark.parametrize(
    "call",
    [
        Dataset.get_by_id,
        Dataset.to_df,
        Dataset.delete_by_id,
        Queue.run_jobs,
        Algorithm.get_code,
        Feature.from_dataset,
        lambda pk: Splitset.make([pk], size_test=0.2),
        lambda pk: Queue.from_algorithm(pk, 1),
    ],
)
def test_an_id_of_another_type_is_refused(
    dataset: Dataset, call: Callable[[Any], Any], pk: Any
) -> None:
    """2.7 was row 2, True row 1, and 2**70 an OverflowError."""
    with pytest.raises(AIQCError, match=r"no row has id|feature_ids"):
        call(pk)


def test_an_id_of_numpy_is_an_id(dataset: Dataset) -> None:
    assert Dataset.get_by_id(np.int64(1)) == Dataset.get_by_id(1) == dataset


def test_a_row_that_was_deleted_is_missed_by_name(dataset: Dataset) -> None:
    again = Dataset.get_by_id(1)
    dataset.delete_instance(cascade=True)
    for use in (again.save, again.to_df, again.delete_instance, again.flip_star):
        with pytest.raises(
            NotFoundError, match=r"Dataset 1 is not in .* any more: it was deleted"
        ):
            use()


def test_what_is_meant_goes_on_working(dataset: Dataset) -> None:
    """For programs that use peewee's methods with care, as the reference's users may."""
    dataset.name = None
    assert dataset.save() == 1
    assert Dataset.update(name="other").where(Dataset.id == 1).execute() == 1
    assert Dataset.set_by_id(1, {"description": "new"}) == 1
    assert Dataset.get_or_none(Dataset.id == 9) is None
    assert Dataset.get(Dataset.name == "other").description == "new"


def test_a_row_is_looked_for_again_only_once_somebody_wrote(dataset: Dataset) -> None:
    dataset.created_at()
    said: list[str] = []
    metastore.connection().set_trace_callback(said.append)
    dataset.created_at()
    assert not [sql for sql in said if sql.startswith("SELECT")]
    with sqlite3.connect(config.database_path()) as other:  # knows no foreign keys
        other.execute("DELETE FROM dataset")
    other.close()
    with pytest.raises(NotFoundError, match="is not in"):
        dataset.created_at()


def test_a_row_whose_making_was_undone_is_missed(home: Path) -> None:
    with metastore.atomic() as transaction:
        row = Dataset.Tabular.from_df(FRAME)
        row.created_at()
        transaction.rollback()
    with pytest.raises(NotFoundError, match="is not in"):
        row.created_at()


def test_arguments_are_given_by_name_too(dataset: Dataset) -> None:
    """`row` was the name of the row itself, so that no such argument could be named."""
    assert str(dataset.seen(row=np.array(1))) == str(Dataset.seen(1, row=1))
