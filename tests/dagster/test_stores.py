"""Two projects on one Dagster instance: what one has filled is not taken for the other's."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from small_experiment import declare

from aiqc_core import config
from aiqc_core.config import use_home
from aiqc_core.experiment import workflow
from aiqc_core.orm import Queue, metastore
from aiqc_dagster.assets import partitions
from aiqc_dagster.build import experiment, stores
from aiqc_dagster.jobs import gc

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def instance(home: Path, dagster_home: Path) -> Iterator[dg.DagsterInstance]:
    """Give an instance that the store of `home` has filled with a snapshot and a Queue."""
    queue = workflow.prepare(declare(), "s1")
    with dg.DagsterInstance.get() as real:
        partitions.add_snapshot(real, declare(), "s1")
        partitions.add_notebook_jobs(real, [partitions.notebook_job(queue.id, 0, 0)])
        yield real


def failure(instance: dg.DagsterInstance, stage: str, partition: str) -> str:
    """Materialise a cell and return why it failed."""
    location = dg.Definitions.merge(
        experiment.of_experiment(declare()), experiment.of_everything()
    )
    asset = location.resolve_assets_def(dg.AssetKey(["updown", stage]))
    done = dg.materialize(
        [asset], partition_key=partition, instance=instance, raise_on_error=False
    )
    (failed,) = done.filter_events(lambda event: event.is_step_failure)
    return str(failed.step_failure_data.error)


@pytest.mark.parametrize("stage", ["dataset", "feature", "splitset", "champion"])
def test_a_snapshot_of_another_store_is_refused_by_the_names_of_both(
    instance: dg.DagsterInstance, tmp_path: Path, stage: str
) -> None:
    first = config.shown_store()
    with use_home(tmp_path / "other"):
        reported = failure(instance, stage, "s1")
        for named in (first, config.shown_store(), "AIQC_HOME", "DAGSTER_HOME"):
            assert named in reported
        assert "NotFoundError" not in reported
        with pytest.raises(dg.Failure, match="belong to another store"):
            partitions.add_snapshot(instance, declare(), "s2")
        metastore.close()
    assert instance.get_dynamic_partitions("updown_snapshot") == ["s1"]
    partitions.add_snapshot(instance, declare(), "s2")


def test_other_names_on_one_instance_stay_apart(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    with use_home(tmp_path / "other"):
        partitions.add_snapshot(instance, declare(name="mine"), "s1")
        assert gc.stale_partitions(instance) == {}  # the first store's Queue is no leftover
        metastore.close()
    Queue.get().delete_instance(cascade=True)
    assert gc.stale_partitions(instance)[partitions.NOTEBOOK] == ["q1_f0_c0"]


@pytest.mark.parametrize("fresh", [True, False])
def test_another_store_with_the_same_key_is_another_store(
    instance: dg.DagsterInstance, home: Path, tmp_path: Path, *, fresh: bool
) -> None:
    """A copy has the key of what it was copied from, and a variable gives one key to many."""
    metastore.close()
    other = tmp_path / "other"
    if fresh:
        other.mkdir()
        shutil.copy2(home / "store.key", other)
    else:
        shutil.copytree(home, other)
    linked = tmp_path / "linked"
    linked.symlink_to(home)
    with use_home(other):
        assert not stores.is_own(instance, "updown")
        with pytest.raises(dg.Failure, match="belong to another store"):
            stores.claim(instance, declare())
        metastore.close()
    with use_home(linked):
        stores.claim(instance, declare())
        metastore.close()
    home.rename(tmp_path / "away")
    with use_home(other):
        stores.claim(instance, declare())  # it takes the place of one that is gone
        metastore.close()


def database(place: str, host: str = "h", key: str = "k") -> dict[str, str]:
    """Describe a store as the instance notes it."""
    return {"place": place, "host": host, "key": key}


@pytest.mark.parametrize(
    ("own", "other", "is_same"),
    [
        (database("PostgreSQL at db:5432/a"), database("PostgreSQL at db:5432/b"), False),
        (database("PostgreSQL at db:5432/a"), database("PostgreSQL at 10.0.0.1:5432/a"), True),
        (database("PostgreSQL at db:5432/a"), database("PostgreSQL at db:5432/a", "pod2"), True),
        (database("PostgreSQL at db:5432/a"), database("/data/aiqc.sqlite"), True),  # migrated
        (database("/data/aiqc.sqlite"), database("/mnt/aiqc.sqlite", "pod2"), True),  # one disk
        (database("/data/aiqc.sqlite"), database("/data/aiqc.sqlite", "pod2", "other"), False),
    ],
)
def test_the_key_decides_where_places_cannot_be_compared(
    own: dict[str, str], other: dict[str, str], *, is_same: bool
) -> None:
    assert stores._is_same(own, other) is is_same


def test_a_store_that_was_moved_or_made_again_keeps_its_snapshots(
    instance: dg.DagsterInstance, home: Path, tmp_path: Path
) -> None:
    metastore.close()
    moved = tmp_path / "moved"
    home.rename(moved)
    with use_home(moved):
        stores.claim(instance, declare())
        metastore.close()
        shutil.rmtree(moved)
        stores.claim(instance, declare())  # at the same place, with a new key
        metastore.close()
    stores.claim(instance, declare())  # the other one is deleted
