"""Print results of commands: JSON that any reader takes, or lines that one can copy from."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.text import Text

from aiqc_core import __version__, config

if TYPE_CHECKING:
    from collections.abc import Iterable

VALUES = 12  # of a list that are shown in a line
LINE = 160
HASH = re.compile("[0-9a-f]{64}")
SHORT = 16  # hex digits of a hash that are shown
MEGABYTE = 2**20


def as_json(value: Any, **more: Any) -> None:
    """Print a dataclass or dictionary, and more members, as one JSON object; NaN is null."""
    members = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    typer.echo(json.dumps(_finite(members | more), allow_nan=False, default=str))


def lines(entries: Iterable[tuple[str, object] | str]) -> None:
    """Print headings, and names with their values under them; markup in values stays inert."""
    console = Console(soft_wrap=True, highlight=False)
    for entry in entries:
        if isinstance(entry, str):
            console.print(Text(entry, style="bold"))
        else:
            console.print(Text(f"  {entry[0]:<16} ").append(one_line(entry[1])))


def one_line(value: object) -> str:
    """Return a value in one line, shortened where it is long."""
    parts: Any = value
    if isinstance(value, dict):
        text = ", ".join(f"{name}={one_line(part)}" for name, part in parts.items())
    elif isinstance(value, list | tuple):
        some = ", ".join(one_line(part) for part in parts[:VALUES])
        text = f"[{some}, … {len(parts)} in all]" if len(parts) > VALUES else f"[{some}]"
    elif isinstance(value, float):
        text = f"{value:.6g}"
    elif isinstance(value, str) and HASH.fullmatch(value):
        text = f"{value[:SHORT]}…"
    else:
        text = str(value)
    return text if len(text) <= LINE else f"{text[: LINE - 1]}…"


def megabytes(size: float) -> str:
    """Return a number of bytes as people read it."""
    return f"{size / MEGABYTE:.1f} MB"


def store() -> str:
    """Return the folder of the store, or the database without its password."""
    return str(config.home()) if config.settings.database_url is None else config.shown_store()


def version() -> None:
    """Print the version, and where the store is."""
    typer.echo(f"aiqc {__version__}, store {store()}")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    parts = value  # of a type that is not narrowed
    if isinstance(value, dict):
        return {str(name): _finite(part) for name, part in parts.items()}
    return [_finite(part) for part in parts] if isinstance(value, list | tuple) else value
