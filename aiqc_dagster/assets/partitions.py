"""Partition keys and the rows behind them: the one place that knows the format.

| dimension | kind    | key               | stands for                                     |
|-----------|---------|-------------------|------------------------------------------------|
| snapshot  | dynamic | `2026-11-25`      | the data as of; added by jobs, people, sensors |
| fold      | static  | `f0`, `nofold`    | `Experiment.fold_keys`                         |
| combo     | static  | `1a2b3c4d`        | the hash of a combination's content            |
| job       | static  | `f0_1a2b3c4d`     | `Job.key`                                      |
| batch     | dynamic | `2026-11-25_north`| new data to predict; added by `predict_<e>`    |
| notebook  | dynamic | `q12_f0_c3`       | a Job of a Queue that a notebook made          |

Static keys follow from the declaration, so that the UI shows each cell before it is trained, and
come from content, so that an edited grid keeps the cells that stay the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import dagster as dg

from aiqc_core.job_keys import NO_COMBINATION, NO_FOLD, fold_index, fold_key, job_key
from aiqc_dagster.build import stores

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aiqc_core.experiment import Experiment

SNAPSHOT, FOLD, COMBO, JOB, BATCH = "snapshot", "fold", "combo", "job", "batch"
NOTEBOOK = "notebook_job"
NOTEBOOK_KEY = re.compile(rf"q(\d+)_(f\d+|{NO_FOLD})_(c\d+|{NO_COMBINATION})")
CHUNK = 500  # Dagster writes all keys of a call in one statement
SNAPSHOT_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")

CellKey = Mapping[str, str]  # names a cell by its key in each dimension of its asset, no others


def cells(experiment: Experiment, dimension: str | None = None) -> dg.PartitionsDefinition:
    """Return the partitions of an asset: snapshots, combinations, or snapshot × fold or job."""
    snapshots = dg.DynamicPartitionsDefinition(name=snapshots_name(experiment.name))
    if dimension is None:
        return snapshots
    other = dg.StaticPartitionsDefinition(keys(experiment, dimension))
    if dimension == COMBO:
        return other
    return dg.MultiPartitionsDefinition({SNAPSHOT: snapshots, dimension: other})


def keys(experiment: Experiment, dimension: str) -> list[str]:
    """Return the keys of a static dimension."""
    if dimension == FOLD:
        return experiment.fold_keys()
    return experiment.combo_keys() if dimension == COMBO else experiment.job_keys()


def snapshots_name(experiment: str) -> str:
    """Return what Dagster calls the snapshots of an experiment."""
    return f"{experiment}_snapshot"


def batches(experiment: Experiment) -> dg.DynamicPartitionsDefinition:
    """Return the batches of new data that an experiment's champion predicts."""
    return dg.DynamicPartitionsDefinition(name=f"{experiment.name}_batch")


def cell(**key: str) -> str:
    """Return the partition key of a cell, as `cell(snapshot="s1", fold="f0")`."""
    return dg.MultiPartitionKey(key) if len(key) > 1 else next(iter(key.values()))


def split_cell(key: str, dimension: str | None) -> CellKey:
    """Return the key of a cell in each dimension; `dimension` is the one beside the snapshot.

    Dagster joins the keys in the order of their dimensions' names; it hands some cells over as
    plain text.
    """
    if dimension is None or dimension in {COMBO, BATCH}:
        return {dimension or SNAPSHOT: key}
    if isinstance(key, dg.MultiPartitionKey):
        parts = key.keys_by_dimension
    else:
        parts = dict(zip(sorted((SNAPSHOT, dimension)), key.split("|"), strict=True))
    return {SNAPSHOT: parts[SNAPSHOT], dimension: parts[dimension]}


def checked_snapshot(key: str) -> str:
    """Return the key of a snapshot, or refuse what cannot be one.

    Raises:
        Failure: the run fails at once, saying which characters are allowed.
    """
    if not SNAPSHOT_KEY.fullmatch(key):
        message = (
            f"snapshot: {key!r} cannot be a partition key; use 1 to 100 letters, digits, '-' and "
            "'_', beginning with a letter or digit, such as 2026-11-25."
        )
        raise dg.Failure(message, allow_retries=False)
    return key


def add_snapshot(instance: dg.DagsterInstance, experiment: Experiment, key: str) -> None:
    """Make a snapshot known to Dagster; one that is known already stays.

    Raises:
        Failure: the experiment is another store's.
    """
    add(instance, experiment, snapshots_name(experiment.name), [key])


def add(
    instance: dg.DagsterInstance, owner: Experiment | str, name: str, keys: Sequence[str]
) -> None:
    """Make keys of dynamic partitions known to Dagster, in chunks; those that are known stay.

    Raises:
        Failure: the owner, an experiment or the notebook's cells, is another store's.
    """
    stores.claim(instance, owner)
    for start in range(0, len(keys), CHUNK):
        instance.add_dynamic_partitions(name, keys[start : start + CHUNK])


def notebook_job(queue_id: int, fold: int | None, combo: int | None) -> str:
    """Return the key of a Job: its Queue, the index of its Fold, and that of its combination."""
    part = NO_COMBINATION if combo is None else f"c{combo}"
    return f"q{queue_id}_{job_key(fold_key(fold), part)}"


def split_notebook_job(key: str) -> tuple[int, int | None, int | None]:
    """Return the Queue's id and the indices of Fold and combination; None where there is none.

    Raises:
        Failure: it is no such key.
    """
    found = NOTEBOOK_KEY.fullmatch(key)
    if found is None:
        message = f"partition: {key!r} is no Job of a Queue; such a key looks like q12_f0_c3."
        raise dg.Failure(message, allow_retries=False)
    queue_id, fold, combo = found.groups()
    return (
        int(queue_id),
        fold_index(fold),
        None if combo == NO_COMBINATION else int(combo[1:]),
    )


def add_notebook_jobs(instance: dg.DagsterInstance, keys: Sequence[str]) -> None:
    """Make Jobs of a notebook's Queue known to Dagster; see `add`."""
    add(instance, stores.NOTEBOOK, NOTEBOOK, keys)


def same_snapshot() -> dg.MultiPartitionMapping:
    """Map a cell to every cell of the same snapshot."""
    same = dg.DimensionPartitionMapping(SNAPSHOT, dg.IdentityPartitionMapping())
    return dg.MultiPartitionMapping({SNAPSHOT: same})


def mapping_key(names: Iterable[str]) -> str:
    """Join names to a key of a mapped step, which may hold letters, digits and `_` only."""
    return re.sub(r"[^A-Za-z0-9_]", "_", "_".join(names))
