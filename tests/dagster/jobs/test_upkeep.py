"""What was deleted from the store leaves nothing behind: no bytes, no cache, no partition."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from small_experiment import declare
from typer.testing import CliRunner

from aiqc_core import config
from aiqc_core.cli.app import app
from aiqc_core.errors import NotFoundError
from aiqc_core.experiment import workflow
from aiqc_core.experiment.workflow.due import due
from aiqc_core.orm import Dataset, Declared, Predictor, Queue, Snapshot
from aiqc_core.orm.admin.gc import collect
from aiqc_core.orm.store.blobs import Blob, BlobChunk
from aiqc_dagster.assets import partitions
from aiqc_dagster.build.experiment import of_everything

if TYPE_CHECKING:
    from pathlib import Path


def test_a_store_in_use_loses_nothing(home: Path) -> None:
    queue = workflow.run(declare(), snapshot="s1")
    before = Blob.select().count()
    found = collect(dry_run=False)
    assert (found.blobs, found.cache_folders, found.checkpoint_folders) == (0, [], [])
    assert Blob.select().count() == before
    assert queue.splitset.cache_hot
    assert all(p.get_model() for p in Predictor.select())


def test_what_deleted_rows_used_is_freed_and_only_that(home: Path) -> None:
    kept = workflow.run(declare(), snapshot="s1")
    other = workflow.run(declare(source=lambda: declare().load().values[:50]), snapshot="s2")
    leftover = config.checkpoint_path("q9_f0_gone_r0")
    leftover.mkdir(parents=True)
    Dataset.get_by_id(other.splitset.features[0].dataset_id).delete_instance(cascade=True)
    would = collect(dry_run=True)
    assert would.blobs > 0
    assert len(would.cache_folders) == 1
    assert leftover.exists()
    assert collect(dry_run=False) == would
    assert collect(dry_run=True).blobs == 0
    assert not leftover.exists()
    orphans = BlobChunk.select().where(BlobChunk.blob.not_in(Blob.select(Blob.sha256)))
    assert orphans.count() == 0
    assert len(kept.metrics_df()) > 0
    assert all(p.get_model() for p in Predictor.select())


def test_the_command_says_what_it_would_free(home: Path) -> None:
    workflow.prepare(declare(), "s1")
    said = CliRunner().invoke(app, ["gc", "--dry-run", "--json"])
    assert said.exit_code == 0
    assert json.loads(said.stdout)["dry_run"] is True
    assert "would free 0 contents" in CliRunner().invoke(app, ["gc", "--dry-run"]).stdout


@pytest.mark.parametrize("dry_run", [True, False])
def test_partitions_of_deleted_rows_go_and_others_stay(
    home: Path, dagster_home: Path, *, dry_run: bool
) -> None:
    experiment = declare()
    gone = workflow.prepare(experiment, "s1")
    stays = workflow.prepare(declare(source=lambda: declare().load().values[:50]), "s2")
    keys = [partitions.notebook_job(queue.id, 0, 0) for queue in (gone, stays)]
    Queue.get_by_id(gone.id).delete_instance(cascade=True)
    location = of_everything()
    options: dict[str, Any] = {"ops": {"free": {"config": {"dry_run": dry_run}}}}
    with dg.DagsterInstance.get() as instance:
        partitions.add_notebook_jobs(instance, keys)
        for key in ("s1", "s2", "s3"):
            partitions.add_snapshot(instance, experiment, key)
        job = location.resolve_job_def("collect_garbage")
        assert job.execute_in_process(instance=instance, run_config=options).success
        left = instance.get_dynamic_partitions("updown_snapshot")
        notebook = instance.get_dynamic_partitions(partitions.NOTEBOOK)
    assert left == (["s1", "s2", "s3"] if dry_run else ["s2", "s3"])
    assert notebook == (keys if dry_run else keys[1:])


def test_readers_pass_by_a_snapshot_whose_rows_were_deleted(
    home: Path, dagster_home: Path
) -> None:
    """The leaderboard said "Queue: no row has id 1", though another snapshot is there."""
    experiment = declare()
    kept = workflow.prepare(experiment, "s1")
    gone = workflow.prepare(declare(source=lambda: declare().load().values[:50]), "s2")
    Dataset.get_by_id(gone.splitset.features[0].dataset_id).delete_instance(cascade=True)
    assert {row.row_id for row in Declared.select().where(Declared.stage == "queue")} == {kept.id}
    shown = CliRunner().invoke(app, ["leaderboard", experiment.name, "--json"])
    assert json.loads(shown.stdout)["queue"] == kept.id
    Dataset.get_by_id(kept.splitset.features[0].dataset_id).delete_instance(cascade=True)
    said = CliRunner().invoke(app, ["leaderboard", experiment.name])
    assert said.exit_code != 0
    reported = " ".join((said.output + str(said.exception)).split())
    assert "the rows of its snapshots ['s1', 's2'] were deleted" in reported
    assert "no row has id" not in reported
    assert due(experiment).is_due
    with pytest.raises(NotFoundError, match=r"snapshot 's1' of 'updown': its queue was deleted"):
        Snapshot.of("updown", "s1").get_row(Queue, "queue")
    assert workflow.prepare(experiment, "s1").id > kept.id
