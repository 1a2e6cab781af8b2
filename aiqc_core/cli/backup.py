"""Copy the whole store to a file."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import typer
from tqdm import tqdm

from aiqc_core.cli import output
from aiqc_core.orm.admin import backup

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from aiqc_core.orm.admin.backup import Seen

PAGE_BYTES = 2**16
LARGE_BYTES = 2**28  # smaller stores are done before a bar could be read


def show(file: Path, *, with_key: bool, as_json: bool) -> None:
    """Copy, and print what the copy is."""
    with progress() as seen:
        copy = backup.backup(file.absolute(), with_key=with_key, seen=seen)
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
                bars[what] = stack.enter_context(_bar(what, total))
            bars[what].update(done - bars[what].n)

        yield seen


def _bar(what: str, total: int) -> tqdm[Any]:
    unit, size = ("page", PAGE_BYTES) if what == "copied" else ("B", 1)
    is_small = total * size < LARGE_BYTES
    return tqdm(
        desc=what, total=total, unit=unit, unit_scale=unit == "B", disable=is_small or None
    )
