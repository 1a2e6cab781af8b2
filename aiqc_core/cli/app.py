"""The command `aiqc`: declare experiments, check them, and look at what the store holds."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from aiqc_core.errors import AIQCError

NOT_FOUND = 2  # the exit code where 1 means "different", as typer's own for wrong usage

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Experiment = Annotated[str, typer.Argument(help="Name of a declared experiment.")]
Snapshot = Annotated[str | None, typer.Option(help="Its snapshot; the newest if none.")]
Predictor = Annotated[int, typer.Argument(help="Id of a Predictor.")]


def command(module: str, *, error_code: int = 1) -> Callable[[Callable[..., None]], None]:
    """Add a command: the function of that name in a module of this folder, with these options.

    An error of ours ends the command with one line and `error_code`; what returns False, with 1.
    """

    def add(declared: Callable[..., None]) -> None:
        @app.command()
        @functools.wraps(declared)
        def run(**options: object) -> None:
            try:
                work = getattr(import_module(f"aiqc_core.cli.{module}"), declared.__name__)
                passed = work(**options)
            except AIQCError as error:
                typer.echo(f"aiqc: {error}", err=True)
                raise typer.Exit(error_code) from error
            if passed is False:
                raise typer.Exit(1)

    return add


@app.callback()
def main() -> None:
    """AIQC on Dagster: experiments, their models and their comparison."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")


@command("output")
def version() -> None:
    """Show the version, and where the store is."""


@command("declarations")
def init(
    name: Annotated[str, typer.Argument(help="Name of the new experiment, and of its folder.")],
    into: Annotated[
        Path | None, typer.Option(help="Folder to put it in; the project's defs if none.")
    ] = None,
) -> None:
    """Make the folder of a new experiment that runs: data, declaration, functions."""


@command("declarations")
def check(
    path: Annotated[
        Path | None, typer.Argument(help="A declaration or a folder; the project's defs if none.")
    ] = None,
    data: Annotated[
        bool, typer.Option(help="Also call the sources, to look for the columns named.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Print every fault of the declarations; the exit code is 1 when there is one."""


@command("leaderboard")
def leaderboard(
    experiment: Experiment,
    snapshot: Snapshot = None,
    metric: Annotated[
        str | None, typer.Option(help="The metric; the declared one if none.")
    ] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Say how many models were trained since then.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare the models of an experiment; name the best combination and the champion in force."""


@command("leaderboard")
def promote(
    experiment: Experiment,
    snapshot: Snapshot = None,
    predictor: Annotated[
        int | None, typer.Option(help="Id of a Predictor of that snapshot; the best if none.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for those who read the history.")] = "",
    as_json: AsJson = False,
) -> None:
    """Put a model in use although no contest says so, as where the data changed too much."""


@command("store")
def gc(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be freed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Free bytes, cached samples and checkpoints that no row of the store uses any more."""


@command("store")
def migrate(
    to: Annotated[
        str,
        typer.Option(
            envvar="AIQC_MIGRATE_TO",
            help="postgresql://user:password@host/database, empty; or a folder for a SQLite file, "
            "as AIQC_HOME names one. In the variable the password shows in no list of processes.",
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Copy the store to PostgreSQL or back to SQLite, and verify every row and byte of the copy.

    The source is only read. What breaks off leaves the target empty.
    """


@command("lineage", error_code=NOT_FOUND)
def trace(
    prediction: Annotated[int, typer.Argument(help="Id of a Prediction.")],
    row: Annotated[
        int, typer.Option(help="The sample's position; in the split, if one is named.")
    ],
    split: Annotated[str | None, typer.Option(help="Count rows in this split alone.")] = None,
    check_source: Annotated[
        bool, typer.Option(help="Read the source files, to see if they still match.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Show all that a predicted sample follows from; exit code 2 when there is no such sample."""


@command("lineage", error_code=NOT_FOUND)
def seen(
    dataset: Annotated[int, typer.Argument(help="Id of a Dataset.")],
    row: Annotated[int, typer.Option(help="The row's position, from 0.")],
    as_json: AsJson = False,
) -> None:
    """Show every model that trained on a row; exit code 1 when none did, 2 without such a row."""


@command("lineage", error_code=NOT_FOUND)
def diff(
    left: Predictor,
    right: Annotated[int, typer.Argument(help="Id of another.")],
    as_json: AsJson = False,
) -> None:
    """Name the first ancestor in which two Predictors differ; exit code 1 when one does."""


@command("lineage", error_code=NOT_FOUND)
def reproduce(
    predictor: Predictor,
    tolerance: Annotated[
        float, typer.Option(help="How far numbers may be apart, times their size or 1.")
    ] = 1e-4,
    as_json: AsJson = False,
) -> None:
    """Train a Predictor again in a new process; exit code 1 when something else comes out."""


@command("store")
def doctor(
    deep: Annotated[
        bool, typer.Option("--deep", help="Also hash all bytes and check every signature.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check the store and change nothing; the exit code is 1 when something fails."""


@command("store")
def backup(
    file: Annotated[Path, typer.Argument(help="The new file.")],
    with_key: Annotated[
        bool, typer.Option("--with-key", help="Also copy the signing key, to FILE.key.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Copy the whole store to a file and verify the copy, while others may go on writing."""


@command("store")
def restore(
    file: Annotated[Path, typer.Argument(help="A file that `aiqc backup` made.")],
    force: Annotated[
        bool, typer.Option("--force", help="Also over a store with rows, which is kept beside.")
    ] = False,
    with_key: Annotated[
        bool, typer.Option("--with-key", help="Also take FILE.key as the signing key.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put a verified copy where the store is; no other process may have the store open."""
