"""Move the store from SQLite to PostgreSQL or back, and verify it."""

from __future__ import annotations

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from aiqc_core import config
from aiqc_core.cli import output
from aiqc_core.orm.admin.transfer import URL, Moved, move


def show(to: str, *, as_json: bool) -> None:
    """Move it, with a bar on a terminal, and print what was moved and what to set now."""
    text = TextColumn("{task.description}")
    columns = (text, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)  # so that what is printed stays clean
    is_hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=is_hidden) as bar:
        task = bar.add_task("rows")
        moved = move(
            to,
            begun=lambda rows: bar.update(task, total=rows),
            done=lambda table, rows: bar.update(task, advance=rows, description=table),
        )
    if as_json:
        output.as_json(moved)
        return
    _print_account(moved)
    typer.echo(_what_next(to))


def _print_account(moved: Moved) -> None:
    table = Table(title="moved and verified", box=box.SIMPLE_HEAD)
    table.add_column("table", no_wrap=True)
    table.add_column("rows", justify="right")
    for name, rows in moved.rows.items():
        if rows:
            table.add_row(name, f"{rows:,}")
    Console().print(table)
    typer.echo(
        f"{sum(moved.rows.values()):,} rows alike in number and digest, {moved.contents:,} "
        f"contents ({output.megabytes(moved.content_bytes)}) with their SHA-256, in "
        f"{moved.seconds:.1f} s"
    )
    if moved.contents_elsewhere:
        typer.echo(
            f"{moved.contents_elsewhere:,} contents stay on the object store: "
            f"keep {config.ARTIFACTS_VARIABLE} as it is"
        )
    typer.echo(f"from  {moved.source} (unchanged)\nto    {moved.target}")


def _what_next(to: str) -> str:
    """Return what to set so that the copy is used, and what becomes of the key."""
    if URL not in to:
        return (
            f"Use it: unset {config.DATABASE_VARIABLE}; export {config.HOME_VARIABLE}={to}\n"
            "The signing key was copied beside it."
        )
    shown = f"postgresql://…@{config.shown_database(to)}"
    return (
        f"Use it: export {config.DATABASE_VARIABLE}={shown} (the URL that you gave)\n"
        "The signing key is not in the database: each machine needs "
        f"{config.HOME_VARIABLE} with {config.key_path()}, or {config.KEY_VARIABLE} with the same "
        "64 hexadecimal digits; else what is pickled does not load there."
    )
