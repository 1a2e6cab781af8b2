"""Show the version, and where the store is."""

from __future__ import annotations

import typer

from aiqc_core import __version__
from aiqc_core.cli import output


def show() -> None:
    """Print one line."""
    typer.echo(f"aiqc {__version__}, store {output.store()}")
