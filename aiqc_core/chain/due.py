"""Whether an experiment has something to train: moved content, or Jobs that lack a Predictor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from aiqc_core.ingest import content
from aiqc_core.ingest.content import NDIM, SEQUENCE, TABULAR, Source
from aiqc_core.orm import Dataset, Queue, Snapshot

if TYPE_CHECKING:
    from aiqc_core.experiment import Experiment


@dataclass(frozen=True, slots=True)
class Due:
    """Whether to train, and why.

    Attributes:
        is_due: whether there is something to train.
        reason: one sentence for the person who looks at the schedule.
        digest: of the source's present content, and of its labels where they lie apart.
        snapshot: the newest snapshot before now, if any.
    """

    is_due: bool
    reason: str
    digest: str
    snapshot: str | None


def due(experiment: Experiment) -> Due:
    """Compare the source's present content with that of the newest snapshot; nothing is written.

    Raises:
        IngestError: the source cannot be read.
    """
    digest = source_digest(experiment)
    newest = newest_snapshot(experiment)
    if newest is None:
        return Due(is_due=True, reason="No snapshot is there yet.", digest=digest, snapshot=None)
    known = "_".join(
        dict.fromkeys(
            newest.get_row(Dataset, stage).sha256_hexdigest
            for stage in ("dataset", "label_dataset")
        )
    )
    if known != digest:
        reason = f"The content moved since snapshot {newest.key}: {known[:12]} to {digest[:12]}."
        return Due(is_due=True, reason=reason, digest=digest, snapshot=newest.key)
    missing = _missing(newest)
    if missing is None or missing:
        what = "is not trained" if missing is None else f"lacks {missing} trainings"
        return Due(
            is_due=True,
            reason=f"Snapshot {newest.key} {what}.",
            digest=digest,
            snapshot=newest.key,
        )
    reason = f"The content is that of snapshot {newest.key} ({digest[:12]}), which is trained."
    return Due(is_due=False, reason=reason, digest=digest, snapshot=newest.key)


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


def newest_snapshot(experiment: Experiment) -> Snapshot | None:
    """Return the snapshot that was opened last and has its data registered."""
    of_it = Snapshot.select().where(Snapshot.experiment == experiment.name)
    rows = of_it.order_by(Snapshot.id.desc())
    return next((row for row in rows if "label_dataset" in row.rows), None)


def _missing(snapshot: Snapshot) -> int | None:
    """Return how many trainings a snapshot lacks; None when it has no Queue yet."""
    if "queue" not in snapshot.rows:
        return None
    queue = snapshot.get_row(Queue, "queue")
    return queue.total_runs - queue.runs_completed - queue.runs_pruned


def _content(values: Any) -> content.Content:
    if isinstance(values, pd.DataFrame):
        return content.of_table(values, "dataframe")
    kind = SEQUENCE if values.ndim == NDIM[SEQUENCE] else content.IMAGE
    return content.of_array(values, kind, "ndarray")
