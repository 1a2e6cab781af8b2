"""Compare the models of an experiment, and name the champion."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from aiqc_core import config, leaderboard
from aiqc_core.errors import NotFoundError
from aiqc_core.evaluate.leading import leading_metric, told
from aiqc_core.orm import Queue, Snapshot

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
    """
    queue = _queue(experiment, snapshot)
    chosen = metric or leading_metric(queue.algorithm.analysis_type)
    trained = leaderboard.entries(queue, chosen)
    judged_on = queue.splitset.judged_on
    ranked = leaderboard.standings(trained, judged_on, metric=chosen)
    if as_json:
        shown = {
            "queue": queue.id,
            "positive": queue.positive_class,
            "standings": [asdict(s) for s in ranked],
        }
        typer.echo(json.dumps(shown))
        return
    console = Console()
    _print_table(console, experiment, queue, chosen, trained)
    _print_champion(console, queue, ranked, trained, metric=chosen, since=since)


def _queue(experiment: str, snapshot: str | None) -> Queue:
    rows = Snapshot.select().where(Snapshot.experiment == experiment)
    if snapshot is not None:
        rows = rows.where(Snapshot.key == snapshot)
    newest = max(rows, key=lambda row: row.time_updated, default=None)
    if newest is None:
        known = sorted({row.experiment for row in Snapshot.select(Snapshot.experiment)})
        message = (
            f"no snapshot {snapshot or ''} of experiment {experiment!r} in {config.home()}; it "
            f"holds {known}. Train it: dagster job execute -m aiqc_dagster.definitions "
            f"-j retrain_{experiment}"
        )
        raise NotFoundError(message)
    return newest.get_row(Queue, "queue")


def _print_table(
    console: Console,
    experiment: str,
    queue: Queue,
    metric: str,
    trained: list[leaderboard.Entry],
) -> None:
    splits = list(trained[0].scores) if trained else []
    varying, named = _varying(trained), escape(told(metric, queue.positive_class))
    table = Table(
        title=f"{escape(experiment)}: {named} of {len(trained)} of {queue.total_runs} models",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("combination", no_wrap=True)
    table.add_column("fold", justify="right")
    for split in splits:
        table.add_column(_short(split), justify="right")
    table.add_column("seconds", justify="right")
    for entry in trained:
        table.add_row(
            _values({name: entry.hyperparameters[name] for name in varying}),
            "-" if entry.fold is None else str(entry.fold),
            *(f"{entry.scores[split]:.4f}" for split in splits),
            f"{entry.seconds:.1f}",
        )
    console.print(table)


def _print_champion(
    console: Console,
    queue: Queue,
    ranked: list[leaderboard.Standing],
    trained: list[leaderboard.Entry],
    *,
    metric: str,
    since: datetime | None,
) -> None:
    if ranked:
        judged_on = queue.splitset.judged_on
        best = ranked[0]
        scores = ", ".join(f"{_short(split)} {score:.4f}" for split, score in best.scores.items())
        console.print(
            f"Champion by mean {_short(judged_on)} score over {best.models} model(s): "
            f"{_values(best.hyperparameters)} ({best.combo_key}): {scores}"
        )
        console.print(queue.compare_best(metric).verdict, highlight=False, markup=False)
    if since is not None:
        new = sum(entry.time_succeeded.timestamp() >= since.timestamp() for entry in trained)
        nothing = "" if new else " Nothing to do: every model was trained before."
        console.print(f"Trained now: {new} of {queue.total_runs}.{nothing}")
    console.print(f"Store: {config.home()}   Open the UI: make ui", highlight=False, markup=False)


def _varying(trained: list[leaderboard.Entry]) -> list[str]:
    """Return the hyperparameters that differ between models, which is what tells them apart."""
    names = dict.fromkeys(name for entry in trained for name in entry.hyperparameters)
    return [
        name
        for name in names
        if len({json.dumps(entry.hyperparameters.get(name)) for entry in trained}) > 1
    ]


def _short(split: str) -> str:
    return {"folds_train_combined": "train", "fold_validation": "validation"}.get(split, split)


def _values(hyperparameters: dict[str, object]) -> str:
    told = ", ".join(f"{name}={value}" for name, value in hyperparameters.items())
    return escape(told) or "default"  # rich would take [red] for a colour, and [/red] for a fault
