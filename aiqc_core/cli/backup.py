"""Copy the whole store to a file."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer
from tqdm import tqdm

from aiqc_core.orm.admin import backup

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from aiqc_core.orm.admin.backup import Seen

MEGABYTE = 2**20
PAGE_BYTES = 2**16
LARGE_BYTES = 2**28  # smaller stores are done before a bar could be read


def show(file: Path, *, with_key: bool, as_json: bool) -> None:
    """Copy, and print what the copy is."""
    with progress() as seen:
        copy = backup.backup(file.absolute(), with_key=with_key, seen=seen)
    if as_json:
        told = {name: str(v) if name in {"path", "key"} and v else v
                for name, v in asdict(copy).items()}  # fmt: skip
        typer.echo(json.dumps(told))
        return
    typer.echo(
        f"{copy.path}: {copy.size / MEGABYTE:.1f} MB, schema version {copy.schema_version}, "
        f"{copy.contents} contents, verified."
    )
    if copy.key is None:
        typer.echo("The key that signs its pickles is not in it: keep store.key, or --with-key.")
    else:
        typer.echo(f"Its key is {copy.key}: keep the two apart.")
    if copy.outside:
        typer.echo(
            f"Not in it: {copy.outside} contents ({copy.outside_bytes / MEGABYTE:.1f} MB) that "
            "lie on the object store (AIQC_ARTIFACTS)."
        )


@contextmanager
def progress() -> Generator[Seen]:
    """Give a function that shows how far a copy is, on the standard error."""
    bars: dict[str, tqdm[Any]] = {}

    def seen(what: str, done: int, total: int) -> None:
        if what not in bars:
            bars[what] = _bar(what, total)
        bars[what].update(done - bars[what].n)

    try:
        yield seen
    finally:
        for bar in bars.values():
            bar.close()


def _bar(what: str, total: int) -> tqdm[Any]:
    if what == "copied":
        small = total * PAGE_BYTES < LARGE_BYTES
        return tqdm(desc=what, total=total, unit="page", disable=small or None)
    small = total < LARGE_BYTES
    return tqdm(desc=what, total=total, unit="B", unit_scale=True, disable=small or None)
