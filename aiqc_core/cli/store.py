"""Look after the store: the commands doctor, gc, backup, restore and migrate."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from aiqc_core import config
from aiqc_core.cli import output
from aiqc_core.orm.admin import backup as admin_backup
from aiqc_core.orm.admin import doctor as admin_doctor
from aiqc_core.orm.admin import restore as admin_restore
from aiqc_core.orm.admin.gc import collect
from aiqc_core.orm.admin.transfer import URL, move

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from aiqc_core.orm.admin.backup import Seen

PAGE_BYTES = 2**16
LARGE_BYTES = 2**28  # smaller stores are done before a bar could be read
COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(*, deep: bool, as_json: bool) -> bool:
    """Print what was found; return whether nothing fails."""
    found = admin_doctor.examine(deep=deep)
    if as_json:
        parts = [asdict(part) for part in found.diagnostics]
        output.as_json({"store": found.store, "sound": found.is_sound, "parts": parts})
        return found.is_sound
    table = Table(title=found.store, box=box.SIMPLE_HEAD, title_justify="left")
    for name in ("part", "verdict", "found", "what mends it"):
        table.add_column(name, overflow="fold", no_wrap=name == "verdict")
    for part in found.diagnostics:
        verdict = Text(part.verdict, style=COLOURS[part.verdict])
        # As text: a name within may look like rich's own markup.
        table.add_row(part.part, verdict, Text(part.found), Text(part.remedy))
    Console().print(table)
    return found.is_sound


def gc(*, dry_run: bool, as_json: bool) -> None:
    """Free it, or say what would be freed, and print the account."""
    found = collect(dry_run=dry_run)
    if as_json:
        output.as_json(found, dry_run=dry_run)
        return
    verb = "would free" if dry_run else "freed"
    objects = f"{found.objects} objects ({output.megabytes(found.object_bytes)}), "
    typer.echo(
        f"{verb} {found.blobs} contents ({output.megabytes(found.blob_bytes)}), "
        f"{objects if config.settings.artifacts else ''}"
        f"{len(found.cache_folders)} cached Splitsets and {len(found.checkpoint_folders)} "
        f"checkpoints ({output.megabytes(found.folder_bytes)})"
    )


def backup(file: Path, *, with_key: bool, as_json: bool) -> None:
    """Copy, and print what the copy is."""
    with progress() as seen:
        copy = admin_backup.backup(file.absolute(), with_key=with_key, seen=seen)
    if as_json:
        output.as_json(copy)
        return
    typer.echo(
        f"{copy.path}: {output.megabytes(copy.size)}, schema version {copy.schema_version}, "
        f"{copy.contents} contents, verified."
    )
    if copy.key is None:
        typer.echo("The key that signs its pickles is not in it: keep store.key, or --with-key.")
    else:
        typer.echo(f"Its key is {copy.key}: keep the two apart.")
    if copy.outside:
        typer.echo(
            f"Not in it: {copy.outside} contents ({output.megabytes(copy.outside_bytes)}) that "
            "are on the object store (AIQC_ARTIFACTS)."
        )


@contextmanager
def progress() -> Generator[Seen]:
    """Give a function that shows how far a copy is, on the standard error."""
    bars: dict[str, tqdm[Any]] = {}
    with ExitStack() as stack:

        def seen(what: str, done: int, total: int) -> None:
            if what not in bars:
                unit, size = ("page", PAGE_BYTES) if what == "copied" else ("B", 1)
                bar: tqdm[Any] = tqdm(
                    desc=what, total=total, unit=unit, unit_scale=unit == "B",
                    disable=total * size < LARGE_BYTES or None,
                )  # fmt: skip
                bars[what] = stack.enter_context(bar)
            bars[what].update(done - bars[what].n)

        yield seen


def restore(file: Path, *, force: bool, with_key: bool, as_json: bool) -> None:
    """Restore, and print what is there now."""
    with progress() as seen:
        done = admin_restore.restore(file.absolute(), force=force, with_key=with_key, seen=seen)
    copy = done.copy
    if as_json:
        members = {name: getattr(copy, name) for name in ("size", "schema_version", "contents")}
        output.as_json({"store": copy.path, **members, "kept": done.kept, "opens": done.opens})
        return
    typer.echo(
        f"{copy.path} is {file} now: {output.megabytes(copy.size)}, schema version "
        f"{copy.schema_version}, {copy.contents} contents, verified."
    )
    if done.kept is not None:
        typer.echo(f"What was there is kept as {done.kept}; delete it when you are content.")
    if done.opens is False:
        typer.echo(
            f"Its pickles were signed by another key than {config.key_path()} and stay closed: "
            "put that key there (--with-key, if it was copied along)."
        )


def migrate(to: str, *, as_json: bool) -> None:
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
    if URL not in to:
        typer.echo(
            f"Use it: unset {config.DATABASE_VARIABLE}; export {config.HOME_VARIABLE}={to}\n"
            "The signing key was copied beside it."
        )
        return
    shown = f"postgresql://…@{config.shown_database(to)}"
    typer.echo(
        f"Use it: export {config.DATABASE_VARIABLE}={shown} (the URL that you gave)\n"
        "The signing key is not in the database: each machine needs "
        f"{config.HOME_VARIABLE} with {config.key_path()}, or {config.KEY_VARIABLE} with the same "
        "64 hexadecimal digits; else what is pickled does not load there."
    )
