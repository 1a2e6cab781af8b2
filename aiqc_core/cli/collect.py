"""Free what no row of the store uses any more."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from aiqc_core import config
from aiqc_core.orm.admin.gc import collect

MEGABYTE = 2**20


def show(*, dry_run: bool, as_json: bool) -> None:
    """Free it, or say what would be freed, and print the account."""
    found = collect(dry_run=dry_run)
    if as_json:
        typer.echo(json.dumps(asdict(found) | {"dry_run": dry_run}))
        return
    verb = "would free" if dry_run else "freed"
    objects = f"{found.objects} objects ({found.object_bytes / MEGABYTE:.1f} MB), "
    typer.echo(
        f"{verb} {found.blobs} contents ({found.blob_bytes / MEGABYTE:.1f} MB), "
        f"{objects if config.artifacts_url() else ''}"
        f"{len(found.cache_folders)} cached Splitsets and {len(found.checkpoint_folders)} "
        f"checkpoints ({found.folder_bytes / MEGABYTE:.1f} MB)"
    )
