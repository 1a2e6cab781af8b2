"""The command `aiqc`: declare experiments, check them, and look at what the store holds."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from aiqc_core import __version__, config
from aiqc_core.errors import AIQCError

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


@app.callback()
def main() -> None:
    """AIQC on Dagster: experiments, their models and their comparison."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")


@app.command()
def version() -> None:
    """Show the version, and where the store lies."""
    typer.echo(f"aiqc {__version__}, store {config.home()}")


@app.command()
def init(
    name: Annotated[str, typer.Argument(help="Name of the new experiment, and of its folder.")],
    into: Annotated[
        Path | None, typer.Option(help="Folder to put it in; the project's defs if none.")
    ] = None,
) -> None:
    """Make the folder of a new experiment that runs: data, declaration, functions."""
    from aiqc_core.commands import scaffold

    with _told():
        scaffold.make(name, into)


@app.command()
def check(
    path: Annotated[
        Path | None, typer.Argument(help="A declaration or a folder; the project's defs if none.")
    ] = None,
    data: Annotated[
        bool, typer.Option(help="Also call the sources, to look for the columns named.")
    ] = True,
) -> None:
    """Print every fault of the declarations; the exit code is 1 when there is one."""
    from aiqc_core.commands import check_declarations

    with _told():
        sound = check_declarations.show(path, deep=data)
    raise typer.Exit(0 if sound else 1)


@app.command("leaderboard")
def show_leaderboard(
    experiment: Annotated[str, typer.Argument(help="Name of a declared experiment.")],
    snapshot: Annotated[str | None, typer.Option(help="Its snapshot; the newest if none.")] = None,
    metric: Annotated[str | None, typer.Option(help="The metric; accuracy or r2 if none.")] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Say how many models were trained since then.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare the models of an experiment, and name the champion."""
    from aiqc_core.commands import show_leaderboard as command

    with _told():
        command.show(experiment, snapshot, metric, since, as_json=as_json)


@app.command("gc")
def collect_garbage(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be freed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Free bytes, cached samples and checkpoints that no row of the store uses any more."""
    from aiqc_core.commands import collect

    with _told():
        collect.show(dry_run=dry_run, as_json=as_json)


@contextmanager
def _told() -> Generator[None]:
    """Print an error of ours as one line, and end with exit code 1."""
    try:
        yield
    except AIQCError as error:
        typer.echo(f"aiqc: {error}", err=True)
        raise typer.Exit(1) from error
