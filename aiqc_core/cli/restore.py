"""Put a copy in the place of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from aiqc_core import config
from aiqc_core.cli import output
from aiqc_core.cli.backup import progress
from aiqc_core.orm.admin import restore

if TYPE_CHECKING:
    from pathlib import Path


def show(file: Path, *, force: bool, with_key: bool, as_json: bool) -> None:
    """Restore, and print what is there now."""
    with progress() as seen:
        done = restore.restore(file.absolute(), force=force, with_key=with_key, seen=seen)
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
