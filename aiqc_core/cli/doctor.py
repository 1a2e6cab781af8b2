"""Show the state of the store, part by part, and what mends it."""

from __future__ import annotations

from dataclasses import asdict

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from aiqc_core.cli import output
from aiqc_core.orm.admin import doctor

COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def show(*, deep: bool, as_json: bool) -> bool:
    """Print what was found; return whether nothing fails."""
    found = doctor.examine(deep=deep)
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
