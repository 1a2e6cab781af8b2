"""Compare the models of an experiment, and name the best combination and the champion."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from aiqc_core import config
from aiqc_core.cli import telling
from aiqc_core.errors import NotFoundError
from aiqc_core.orm import Champion, Queue, Snapshot
from aiqc_core.orm.results import frames, leaderboard
from aiqc_core.stages.evaluate.ranking import metric_name
from aiqc_core.stages.train.hooks.observer import PRUNER

if TYPE_CHECKING:
    from datetime import datetime


def show(
    experiment: str,
    snapshot: str | None,
    metric: str | None,
    since: datetime | None,
    *,
    as_json: bool,
) -> None:
    """Print the comparison as a table, or as one JSON object.

    Raises:
        NotFoundError: no such snapshot.
        SelectionError: no model has the metric.
    """
    found = _found(experiment, snapshot, metric)
    if as_json:
        telling.as_json(_members(found, since))
        return
    console = Console()
    _print_table(console, found)
    _print_best(console, found)
    _print_champion(console, found)
    _print_ends(console, found, since)


@dataclass(frozen=True, slots=True)
class _Found(leaderboard.Board):
    """What there is to show of one snapshot."""

    experiment: str
    snapshot: Snapshot


def _found(experiment: str, key: str | None, metric: str | None) -> _Found:
    snapshot = _snapshot(experiment, key)
    queue = snapshot.get_row(Queue, "queue")
    board = leaderboard.Board.of(queue, metric or snapshot.metric)
    return _Found(board.queue, board.measure, board.trained, board.ranked, experiment, snapshot)


def _members(found: _Found, since: datetime | None) -> dict[str, Any]:
    """Return the JSON object: all that a gate needs to decide, and to find the models again."""
    queue, measure = found.queue, found.measure
    new = {} if since is None else {"trained_since": _new(found, since)}
    return {
        "experiment": found.experiment,
        "snapshot": found.snapshot.key,
        "queue": queue.id,
        "metric": measure.metric,
        "positive": queue.positive_class,
        "direction": "lower" if measure.lower_is_better else "higher",
        "judged_on": measure.split,
        "models": len(found.trained),
        "wanted": queue.total_runs,
        "pruned": queue.runs_pruned,
        "standings": [asdict(standing) for standing in found.ranked],
        "best": None if found.best is None else asdict(found.best),
        "undefined": found.undefined,
        "verdict": queue.compare_best(measure.metric).verdict if found.ranked else None,
        "champion": _champion(found),
        "predictors": [asdict(entry) for entry in found.trained],
        "store": config.shown_store(),
    } | new


def _champion(found: _Found) -> dict[str, Any] | None:
    """Return the model in force; None before the first promotion."""
    row = Champion.of(found.experiment)
    if row is None:
        return None
    predictor = row.predictor
    scores = predictor.prediction.metrics
    return {
        "predictor_id": predictor.id,
        "job_key": predictor.job.key,
        "combo_key": predictor.job.combo_key,
        "hyperparameters": predictor.job.hyperparameters,
        "queue": predictor.job.queue_id,
        "snapshot": row.snapshot,
        "promoted": row.time_created,
        "reason": row.reason,
        "scores": {split: values.get(found.measure.metric) for split, values in scores.items()},
    }


def _snapshot(experiment: str, snapshot: str | None) -> Snapshot:
    rows = Snapshot.select().where(Snapshot.experiment == experiment)
    if snapshot is not None:
        rows = rows.where(Snapshot.key == snapshot)
    queues = {row.id: Queue.get_or_none(Queue.id == row.rows.get("queue")) for row in rows}
    newest = max(
        rows, key=lambda row: (queues[row.id] is not None, row.time_updated), default=None
    )
    train = f"dagster job execute -m aiqc_dagster.definitions -j retrain_{experiment}"
    if newest is None:
        known = sorted({row.experiment for row in Snapshot.select(Snapshot.experiment)})
        message = (
            f"no snapshot {snapshot or ''} of experiment {experiment!r} in "
            f"{config.shown_store()}; it holds {known}. Train it: {train}"
        )
        raise NotFoundError(message)
    if queues[newest.id] is None and "queue" in newest.rows:
        keys = [row.key for row in rows]
        message = (
            f"{experiment!r}: the rows of its snapshots {keys} were deleted. Train it again: "
        )
        raise NotFoundError(message + train)
    return newest


def _print_table(console: Console, found: _Found) -> None:
    trained, measure = found.trained, found.measure
    splits = list(trained[0].scores) if trained else []
    varying = frames.varied([entry.hyperparameters for entry in trained])
    cut_short = any(entry.ended for entry in trained)
    named = escape(metric_name(measure.metric, found.queue.positive_class))
    way = "lower" if measure.lower_is_better else "higher"
    table = Table(
        title=f"{escape(found.experiment)}: {named} of {len(trained)} of "
        f"{found.queue.total_runs} models",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("combination", no_wrap=True)
    table.add_column("fold", justify="right")
    for split in splits:
        table.add_column(_short(split), justify="right")
    table.add_column("seconds", justify="right")
    if cut_short:
        table.add_column("ended")
    for entry in trained:
        table.add_row(
            _values({name: entry.hyperparameters.get(name) for name in varying}),
            "-" if entry.fold is None else str(entry.fold),
            *(f"{entry.scores[split]:.4f}" for split in splits),
            f"{entry.seconds:.1f}",
            *([entry.ended] if cut_short else []),
        )
    console.print(table)
    about = f"Snapshot {found.snapshot.key}, Queue {found.queue.id}"
    _say(console, f"{about}; of {measure.metric} {way} is better.")


def _print_best(console: Console, found: _Found) -> None:
    """Name the combination that leads; whether it is in use is another question."""
    if found.undefined is not None:
        _say(console, found.undefined)
    if found.best is None:
        return
    best, measure = found.best, found.measure
    scores = ", ".join(f"{_short(split)} {score:.4f}" for split, score in best.scores.items())
    short = f", {best.pruned} cut short by a pruner" if best.pruned else ""
    console.print(
        f"Best by mean {_short(measure.split)} {measure.metric} over {best.models} model(s)"
        f"{short}: {_values(best.hyperparameters)} ({best.combo_key}): {scores}"
    )
    _say(console, found.queue.compare_best(measure.metric).verdict)


def _print_champion(console: Console, found: _Found) -> None:
    """Name the model in force."""
    row = Champion.of(found.experiment)
    if row is None:
        how = f"materialise {found.experiment}/champion, or run retrain_{found.experiment}."
        _say(console, f"Champion: none yet; {how}")
        return
    job = row.predictor.job
    here = next((e for e in found.trained if e.predictor_id == row.predictor_id), None)
    leads = found.best is not None and here is not None and here.combo_key == found.best.combo_key
    note = " of the best combination" if leads else ""
    console.print(
        f"Champion in force: Predictor {row.predictor_id}{note}, "
        f"{_values(job.hyperparameters)} ({job.key}), snapshot {escape(row.snapshot)}"
    )


def _print_ends(console: Console, found: _Found, since: datetime | None) -> None:
    total, pruned = found.queue.total_runs, found.queue.runs_pruned
    if pruned:
        cut = sum(entry.stopped == PRUNER for entry in found.trained)
        console.print(f"Pruned: {pruned} of {total}: {cut} cut short, {pruned - cut} never begun.")
    if since is not None:
        new = _new(found, since)
        nothing = "" if new else " Nothing to do: every model was trained before."
        console.print(f"Trained now: {new} of {total}.{nothing}")
    place = config.home() if config.database_url() is None else config.shown_store()
    _say(console, f"Store: {place}   Open the UI: make ui", soft_wrap=True)


def _say(console: Console, line: str, *, soft_wrap: bool = False) -> None:
    """Print a line as it is: a name in it may look like markup."""
    console.print(line, highlight=False, markup=False, soft_wrap=soft_wrap)


def _new(found: _Found, since: datetime) -> int:
    moment = since.timestamp()
    return sum(entry.time_succeeded.timestamp() >= moment for entry in found.trained)


def _short(split: str) -> str:
    return {"folds_train_combined": "train", "fold_validation": "validation"}.get(split, split)


def _values(hyperparameters: dict[str, object]) -> str:
    told = ", ".join(f"{name}={value}" for name, value in hyperparameters.items())
    return escape(told) or "default"  # rich would take [red] for a colour, and [/red] for a fault
