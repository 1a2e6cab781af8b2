"""Find out what is due: changed content, a changed declaration, missing trainings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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
    """Compare the source's present content with that of the newest snapshot; write nothing."""
    digest = source_digest(experiment)
    newest = newest_snapshot(experiment)
    if newest is None:
        return Due(is_due=True, reason="No snapshot is there yet.", digest=digest, snapshot=None)
    known = str(content_of(newest))
    if known != digest:
        reason = f"The content moved since snapshot {newest.key}: {known[:12]} to {digest[:12]}."
        return Due(is_due=True, reason=reason, digest=digest, snapshot=newest.key)
    key, queue = newest.key, Queue.get_or_none(Queue.id == newest.rows.get("queue"))
    is_due, reason = True, f"Snapshot {key} is not trained."  # never made, or deleted since
    if queue is not None and is_changed(experiment, queue):
        reason = f"The declaration has changed since snapshot {key} was trained."
    elif queue is not None:
        missing = queue.total_runs - queue.runs_completed - queue.runs_skipped
        is_due, reason = missing != 0, f"Snapshot {key} lacks {missing} trainings."
    if not is_due:
        reason = f"The content is that of snapshot {key} ({digest[:12]}), which is trained."
    return Due(is_due, reason, digest, key, is_moved=False)


def source_digest(experiment: Experiment) -> str:
    """Return the digest of the source's content; raise IngestError where it cannot be read."""
    if isinstance(experiment.source, Path):
        return content.read(Source(TABULAR, str(experiment.source))).digest()
    found = experiment.load()
    digests: list[str] = []
    for values in (found.values, found.labels):
        if isinstance(values, pd.DataFrame):
            digests.append(content.of_table(values, "dataframe").digest())
        elif values is not None:
            kind = SEQUENCE if values.ndim == NDIM[SEQUENCE] else content.IMAGE
            digests.append(content.of_array(values, kind, "ndarray").digest())
    return "_".join(dict.fromkeys(digests))


def present_snapshot(experiment: Experiment) -> str:
    """Return today's date as a snapshot's key, with the time where it names other content."""
    known = Snapshot.get_or_none(experiment=experiment.name, key=today())
    if known is None or content_of(known) is None:
        return today()  # as on most days: the source need not be read for its digest
    return free_key(experiment, source_digest(experiment))
