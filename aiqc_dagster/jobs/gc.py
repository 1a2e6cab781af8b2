"""Collect garbage: free what no row uses, and drop the partitions of deleted rows."""

# Dagster compares the annotation of `context` itself, so annotations are not postponed here.
from typing import Any

import dagster as dg
from pydantic import Field

from aiqc_core.orm import Queue, Snapshot
from aiqc_core.orm.admin import collect
from aiqc_dagster.assets import partitions
from aiqc_dagster.build import stores
from aiqc_dagster.resources import REQUIRED


class CollectConfig(dg.Config):
    """Whether to free, or only to say what would be freed."""

    dry_run: bool = Field(default=False, description="Only say what would be freed.")


def job() -> dg.JobDefinition:
    """Return `collect_garbage`: `aiqc gc`, and the partitions of rows that are gone."""

    @dg.op(required_resource_keys=REQUIRED)
    def free(context: dg.OpExecutionContext, config: CollectConfig) -> None:
        """Free what no row uses, and drop the partitions of rows that are gone."""
        stale = stale_partitions(context.instance)
        if not config.dry_run:
            for name, keys in stale.items():
                for key in keys:
                    context.instance.delete_dynamic_partition(name, key)
        found = collect(dry_run=config.dry_run)
        context.add_output_metadata(
            {
                "partitions": stale,
                "contents": found.blobs,
                "content_bytes": found.blob_bytes,
                "folders": len(found.cache_folders) + len(found.checkpoint_folders),
                "folder_bytes": found.folder_bytes,
            }
        )

    @dg.job(
        name="collect_garbage",
        description="Free what no row of the store uses, and drop the partitions of deleted rows.",
    )
    def collect_garbage() -> None:
        free()

    return collect_garbage


def stale_partitions(instance: dg.DagsterInstance) -> dict[str, list[str]]:
    """Return the keys of dynamic partitions with deleted rows, by partitions definition.

    Snapshots that are not materialised yet stay, and so do those of another store.
    """
    ids: Any = Queue.select(Queue.id).tuples()
    queues = {queue_id for (queue_id,) in ids}
    gone: dict[str, set[str]] = {}
    rows: Any = Snapshot.select()
    for row in rows:
        is_gone = "queue" in row.rows and row.rows["queue"] not in queues
        if is_gone and stores.is_own(instance, row.experiment):
            gone.setdefault(partitions.snapshots_name(row.experiment), set()).add(row.key)
    keys = instance.get_dynamic_partitions(partitions.NOTEBOOK)
    if stores.is_own(instance, stores.NOTEBOOK):
        gone[partitions.NOTEBOOK] = {
            key for key in keys if partitions.split_notebook_job(key)[0] not in queues
        }
    known = {name: set(instance.get_dynamic_partitions(name)) for name in gone}
    return {name: sorted(keys & known[name]) for name, keys in gone.items() if keys & known[name]}
