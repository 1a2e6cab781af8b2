"""Compare the models of an experiment, and choose one: the commands leaderboard and promote."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from aiqc_core import config
from aiqc_core.cli import output
from aiqc_core.errors import NotFoundError
from aiqc_core.experiment import workflow
from aiqc_core.orm import Champion, Queue, Snapshot
from aiqc_core.orm.results import frames
from aiqc_core.orm.results.leaderboard import Board
from aiqc_core.stages.evaluate.ranking import metric_name
from aiqc_core.stages.train.hooks.observer import PRUNER

if TYPE_CHECKING:
    from datetime import datetime

    from aiqc_core.orm.results.leaderboard import Standing


def leaderboard(
    experiment: str,
    snapshot: str | None,
    metric: str | None,
    since: datetime | None,
    *,
    as_json: bool,
) -> None:
    """Print the comparison as a table, or as one JSON object."""
    row = _snapshot(experiment, snapshot)
    board = Board.of(row.get_row(Queue, "queue"), metric or row.metric)
    if as_json:
        output.as_json(_members(row, board, since))
        return
    console = Console()
    _print_table(console, row, board)
    if board.undefined is not None:
        _print_plain(console, board.undefined)
    if board.best is not None:
        _print_best(console, board, board.best)
    _print_champion(console, row, board)
    total, pruned = board.queue.total_runs, board.queue.runs_pruned
    if pruned:
        cut = sum(entry.stopped == PRUNER for entry in board.trained)
        console.print(f"Pruned: {pruned} of {total}: {cut} cut short, {pruned - cut} never begun.")
    if since is not None:
        new = _new(board, since)
        nothing = "" if new else " Nothing to do: every model was trained before."
        console.print(f"Trained now: {new} of {total}.{nothing}")
    _print_plain(console, f"Store: {output.store()}   Open the UI: make ui", soft_wrap=True)


def promote(
    experiment: str, snapshot: str | None, predictor: int | None, reason: str, *, as_json: bool
) -> None:
    """Promote it, and print what is in use from now on."""
    row = workflow.promote(experiment, snapshot, predictor, reason)
    if as_json:
        output.as_json(
            {
                "champion_id": row.id, "experiment": experiment, "snapshot": row.snapshot,
                "predictor_id": row.predictor_id, "reason": row.reason,
            }
        )  # fmt: skip
        return
    typer.echo(
        f"{experiment}: Predictor {row.predictor_id} of snapshot {row.snapshot} is the champion "
        f"now. Materialise {experiment}/champion for this snapshot to show it in Dagster."
    )


def _members(snapshot: Snapshot, board: Board, since: datetime | None) -> dict[str, Any]:
    """Return the JSON object: all that a gate needs to decide, and to find the models again."""
    queue, measure = board.queue, board.measure
    new = {} if since is None else {"trained_since": _new(board, since)}
    return {
        "experiment": snapshot.experiment,
        "snapshot": snapshot.key,
        "queue": queue.id,
        "metric": measure.metric,
        "positive": queue.positive_class,
        "direction": "lower" if measure.lower_is_better else "higher",
        "judged_on": measure.split,
        "models": len(board.trained),
        "wanted": queue.total_runs,
        "pruned": queue.runs_pruned,
        "standings": [asdict(standing) for standing in board.ranked],
        "best": None if board.best is None else asdict(board.best),
        "undefined": board.undefined,
        "verdict": queue.compare_best(measure.metric).verdict if board.ranked else None,
        "champion": _champion(snapshot.experiment, measure.metric),
        "predictors": [asdict(entry) for entry in board.trained],
        "store": config.shown_store(),
    } | new


def _champion(experiment: str, metric: str) -> dict[str, Any] | None:
    """Return the model in force; None before the first promotion."""
    row = Champion.of(experiment)
    if row is None:
        return None
    job, scores = row.predictor.job, row.predictor.prediction.metrics
    return {
        "predictor_id": row.predictor.id,
        "job_key": job.key,
        "combo_key": job.combo_key,
        "hyperparameters": job.hyperparameters,
        "queue": job.queue_id,
        "snapshot": row.snapshot,
        "promoted": row.time_created,
        "reason": row.reason,
        "scores": {split: values.get(metric) for split, values in scores.items()},
    }


def _snapshot(experiment: str, snapshot: str | None) -> Snapshot:
    rows = Snapshot.select().where(Snapshot.experiment == experiment)
    if snapshot is not None:
        rows = rows.where(Snapshot.key == snapshot)
    table: Any = Queue
    queues = {row.id: table.get_or_none(Queue.id == row.rows.get("queue")) for row in rows}
    newest = max(
        rows, key=lambda row: (queues[row.id] is not None, row.time_updated), default=None
    )
    train = f"dagster job execute -m aiqc_dagster.definitions -j retrain_{experiment}"
    if newest is None:
        known = sorted({row.experiment for row in Snapshot.select(Snapshot.experiment)})
        raise NotFoundError(
            f"no snapshot{f' {snapshot}' if snapshot else ''} of experiment {experiment!r} in "
            f"{config.shown_store()}; it holds {known}. Train it: {train}"
        )
    if queues[newest.id] is None and "queue" in newest.rows:
        keys = [row.key for row in rows]
        raise NotFoundError(
            f"{experiment!r}: the rows of its snapshots {keys} were deleted. Train it again: "
            f"{train}"
        )
    return newest


def _print_table(console: Console, snapshot: Snapshot, board: Board) -> None:
    trained, measure, queue = board.trained, board.measure, board.queue
    splits = list(trained[0].scores) if trained else []
    varying = frames.varied([entry.hyperparameters for entry in trained])
    was_cut_short = any(entry.ended for entry in trained)
    named = escape(metric_name(measure.metric, queue.positive_class))
    title = (
        f"{escape(snapshot.experiment)}: {named} of {len(trained)} of {queue.total_runs} models"
    )
    table = Table(title=title, box=box.SIMPLE_HEAD)
    table.add_column("combination", no_wrap=True)
    for name in ("fold", *map(_short, splits), "seconds"):
        table.add_column(name, justify="right")
    if was_cut_short:
        table.add_column("ended")
    for entry in trained:
        table.add_row(
            _values({name: entry.hyperparameters.get(name) for name in varying}),
            "-" if entry.fold is None else str(entry.fold),
            *(f"{entry.scores[split]:.4f}" for split in splits),
            f"{entry.seconds:.1f}",
            *([entry.ended] if was_cut_short else []),
        )
    console.print(table)
    way = "lower" if measure.lower_is_better else "higher"
    about = f"Snapshot {snapshot.key}, Queue {queue.id}"
    _print_plain(console, f"{about}; of {measure.metric} {way} is better.")


def _print_best(console: Console, board: Board, best: Standing) -> None:
    """Name the combination that leads; whether it is in use is another question."""
    measure = board.measure
    scores = ", ".join(f"{_short(split)} {score:.4f}" for split, score in best.scores.items())
    short = f", {best.pruned} cut short by a pruner" if best.pruned else ""
    console.print(
        f"Best by mean {_short(measure.split)} {measure.metric} over {best.models} model(s)"
        f"{short}: {_values(best.hyperparameters)} ({best.combo_key}): {scores}"
    )
    _print_plain(console, board.queue.compare_best(measure.metric).verdict)


def _print_champion(console: Console, snapshot: Snapshot, board: Board) -> None:
    experiment = snapshot.experiment
    row = Champion.of(experiment)
    if row is None:
        how = f"materialise {experiment}/champion, or run retrain_{experiment}."
        _print_plain(console, f"Champion: none yet; {how}")
        return
    job = row.predictor.job
    here = next((e for e in board.trained if e.predictor_id == row.predictor_id), None)
    leads = board.best is not None and here is not None and here.combo_key == board.best.combo_key
    note = " of the best combination" if leads else ""
    console.print(
        f"Champion in force: Predictor {row.predictor_id}{note}, "
        f"{_values(job.hyperparameters)} ({job.key}), snapshot {escape(row.snapshot)}"
    )


def _print_plain(console: Console, line: str, *, soft_wrap: bool = False) -> None:
    """Print a line as it is: a name in it may look like markup."""
    console.print(line, highlight=False, markup=False, soft_wrap=soft_wrap)


def _new(board: Board, since: datetime) -> int:
    moment = since.timestamp()
    return sum(entry.time_succeeded.timestamp() >= moment for entry in board.trained)


def _short(split: str) -> str:
    return {"folds_train_combined": "train", "fold_validation": "validation"}.get(split, split)


def _values(hyperparameters: dict[str, object]) -> str:
    text = ", ".join(f"{name}={value}" for name, value in hyperparameters.items())
    return escape(text) or "default"  # rich would take [red] for a colour, and [/red] for a fault
