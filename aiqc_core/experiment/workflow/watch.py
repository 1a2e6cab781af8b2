"""Verdicts on an experiment over time: what is missing, drifting, diverged or old."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from aiqc_core.config import timezone_now
from aiqc_core.experiment.workflow.due import due
from aiqc_core.experiment.workflow.keys import newest_snapshot
from aiqc_core.experiment.workflow.versions import row_of
from aiqc_core.orm import Champion, Feature, Queue
from aiqc_core.orm.results.paired_evaluation import learned
from aiqc_core.stages.evaluate import drift as drifting
from aiqc_core.stages.evaluate.checks import FAILED, PASSED, WARNING, Finding, joined

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aiqc_core.experiment import Experiment

MOST_ROWS = 100_000  # of a sequence's rows, drawn evenly; more would not change a verdict


def jobs_present(experiment: Experiment, snapshot: str) -> Finding:
    """Count the Predictors of a snapshot's Queue against what it asks for."""
    queue = row_of(experiment, snapshot, Queue, "queue")
    done, wanted = queue.runs_completed, queue.total_runs - queue.runs_skipped
    facts = {"queue_id": queue.id, "trained": done, "wanted": wanted, "pruned": queue.runs_pruned}
    if done == wanted:
        return Finding(PASSED, f"All {wanted} trainings of Queue {queue.id} are recorded.", facts)
    summary = f"{wanted - done} of {wanted} trainings of Queue {queue.id} are missing."
    return Finding(FAILED, summary, facts)


def champion_sound(experiment: Experiment) -> Finding:
    """Check whether the champion's training diverged."""
    champion = Champion.of(experiment.name)
    if champion is None:
        return Finding(PASSED, "There is no champion yet.")
    facts = {"predictor_id": champion.predictor_id, "snapshot": champion.snapshot}
    if champion.predictor.is_diverged:
        return Finding(FAILED, f"Predictor {champion.predictor_id} diverged in training.", facts)
    return Finding(PASSED, f"Predictor {champion.predictor_id} is finite throughout.", facts)


def drift(experiment: Experiment, snapshot: str) -> Finding:
    """Compare a snapshot's columns with the very rows that the champion learned from."""
    champion = Champion.of(experiment.name)
    if champion is None:
        return Finding(PASSED, "There is no champion yet to compare with.")
    feature, rows = learned(champion.predictor)
    now = row_of(experiment, snapshot, Feature, "feature")
    kind, kind_now = feature.dataset.typ, now.dataset.typ
    if kind != kind_now:
        return Finding(WARNING, f"The champion learned from {kind} data; these are {kind_now}.")
    before, table = table_of(feature, rows), table_of(now, None)
    gone = [name for name in before.columns if name not in table.columns]
    found = Finding(PASSED, "")
    if gone:
        summary = f"The champion learned from columns {gone}, which snapshot {snapshot} has not."
        found = Finding(WARNING, summary, {"missing_columns": ", ".join(map(str, gone))})
    left = before.drop(columns=gone)
    if not len(left.columns):
        return found
    return joined(found, drifting.verdict(drifting.compare(left, table)))


def fresh(experiment: Experiment) -> Finding:
    """Say whether the newest trained data are as new as the declaration asks for.

    Old data are fresh as long as the source still holds the same.
    """
    newest, limit = newest_snapshot(experiment), experiment.freshness
    if newest is None:
        return Finding(WARNING, "Nothing is trained yet.")
    age = timezone_now() - newest.time_updated
    facts: dict[str, Any] = {"snapshot": newest.key, "age_hours": age.total_seconds() / 3600}
    if limit is None or age <= limit:
        return Finding(PASSED, f"Snapshot {newest.key} is {_hours(age)} old.", facts)
    found = due(experiment)
    if not found.is_due:
        return Finding(PASSED, f"{found.reason} It is {_hours(age)} old.", facts)
    summary = f"Snapshot {newest.key} is {_hours(age)} old, over {_hours(limit)}. {found.reason}"
    return Finding(FAILED, summary, facts)


def _hours(age: Any) -> str:
    return f"{age.total_seconds() / 3600:.1f} h"


def table_of(feature: Feature, rows: NDArray[np.int64] | None) -> pd.DataFrame:
    """Return a Feature's raw values as a table: of images their brightness and contrast."""
    values = feature.dataset.load(feature.columns, None)
    if isinstance(values, pd.DataFrame):
        return values if rows is None else values.iloc[rows]
    chosen = np.asarray(values if rows is None else values[rows], dtype=np.float64)
    if feature.dataset.typ == "image":
        each = chosen.reshape(len(chosen), -1)
        return pd.DataFrame({"brightness": each.mean(axis=1), "contrast": each.std(axis=1)})
    flat = chosen.reshape(-1, chosen.shape[-1])
    step = max(len(flat) // MOST_ROWS, 1)
    return pd.DataFrame(flat[::step], columns=list(feature.columns))
