"""Free what no row of the store uses any more."""

from __future__ import annotations

import typer

from aiqc_core import config
from aiqc_core.cli import output
from aiqc_core.orm.admin.gc import collect


def show(*, dry_run: bool, as_json: bool) -> None:
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
