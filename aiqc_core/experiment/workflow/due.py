"""Find out what is due: changed content, a changed declaration, missing trainings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from aiqc_core.experiment.workflow.keys import content_of, free_key, newest_snapshot, today
from aiqc_core.experiment.workflow.versions import is_changed
from aiqc_core.orm import Queue, Snapshot
from aiqc_core.stages.ingest import content
from aiqc_core.stages.ingest.content import NDIM, SEQUENCE, TABULAR, Source

if TYPE_CHECKING:
    from aiqc_core.experiment import Experiment


@dataclass(frozen=True, slots=True)
class Due:
    """Whether to train, and why.

    Attributes:
        is_due: whether there is something to train.
        reason: one sentence for the person who looks at the schedule.
        digest: of the source's present content, and of its labels where these are apart.
        snapshot: the newest snapshot before now, if any.
        is_moved: whether the content differs from that snapshot's.
    """

    is_due: bool
    reason: str
    digest: str
    snapshot: str | None
    is_moved: bool = True


def due(experiment: Experiment) -> Due:
    """Compare the source's present content with that of the newest snapshot; nothing is written.

    Raises:
        IngestError: the source cannot be read.
    """
    digest = source_digest(experiment)
    newest = newest_snapshot(experiment)
    if newest is None:
        return Due(is_due=True, reason="No snapshot is there yet.", digest=digest, snapshot=None)
    known = str(content_of(newest))
    if known != digest:
        reason = f"The content moved since snapshot {newest.key}: {known[:12]} to {digest[:12]}."
        return Due(is_due=True, reason=reason, digest=digest, snapshot=newest.key)
    wanted = _wanted(experiment, newest)
    trained = f"The content is that of snapshot {newest.key} ({digest[:12]}), which is trained."
    return Due(wanted is not None, wanted or trained, digest, newest.key, is_moved=False)


def source_digest(experiment: Experiment) -> str:
    """Return the digest of the source's present content, as registering it would.

    Raises:
        IngestError: the source cannot be read.
    """
    if isinstance(experiment.source, Path):
        return content.read(Source(TABULAR, str(experiment.source))).digest()
    found = experiment.load()
    parts = [found.values] if found.labels is None else [found.values, found.labels]
    return "_".join(dict.fromkeys(_content(values).digest() for values in parts))


def present_snapshot(experiment: Experiment) -> str:
    """Return the key of a snapshot of the source's present content, where nobody names one.

    Today's date; where that names other content already, date and time.

    Raises:
        IngestError: the source cannot be read.
    """
    known = Snapshot.get_or_none(experiment=experiment.name, key=today())
    if known is None or content_of(known) is None:
        return today()  # as on most days: the source need not be read for its digest
    return free_key(experiment, source_digest(experiment))


def _wanted(experiment: Experiment, snapshot: Snapshot) -> str | None:
    """Return why a snapshot's content is to be trained, None when it is."""
    queue = Queue.get_or_none(Queue.id == snapshot.rows.get("queue"))
    if queue is None:  # never made, or deleted since
        return f"Snapshot {snapshot.key} is not trained."
    if is_changed(experiment, queue):
        return f"The declaration has changed since snapshot {snapshot.key} was trained."
    missing = queue.total_runs - queue.runs_completed - queue.runs_skipped
    return f"Snapshot {snapshot.key} lacks {missing} trainings." if missing else None


def _content(values: Any) -> content.Content:
    if isinstance(values, pd.DataFrame):
        return content.of_table(values, "dataframe")
    kind = SEQUENCE if values.ndim == NDIM[SEQUENCE] else content.IMAGE
    return content.of_array(values, kind, "ndarray")
