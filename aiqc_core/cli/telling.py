"""How the commands on lineage print: JSON that any reader takes, or lines one can copy from."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, is_dataclass
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

VALUES = 12  # of a list that are shown in a line
LINE = 160
HASH = re.compile("[0-9a-f]{64}")
SHORT = 16  # hex digits of a hash that are shown


def as_json(value: Any, **more: Any) -> None:
    """Print one JSON object; what is not finite is null, since JSON has no NaN.

    Args:
        value: a dataclass.
        more: further members.
    """
    given = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    typer.echo(json.dumps(_finite(given | more), allow_nan=False, default=str))


def lines(*told: tuple[str, object] | str) -> None:
    """Print headings, and names with their values under them; markup in values stays inert."""
    console = Console(soft_wrap=True, highlight=False)
    for each in told:
        if isinstance(each, str):
            console.print(Text(each, style="bold"))
            continue
        name, value = each
        console.print(Text(f"  {name:<16} ").append(shown(value)))


def shown(value: object) -> str:
    """Return a value in one line."""
    if isinstance(value, dict):
        text = ", ".join(f"{name}={shown(part)}" for name, part in value.items())
    elif isinstance(value, list | tuple):
        some = ", ".join(shown(part) for part in value[:VALUES])
        text = f"[{some}, … {len(value)} in all]" if len(value) > VALUES else f"[{some}]"
    elif isinstance(value, float):
        text = f"{value:.6g}"
    elif isinstance(value, str) and HASH.fullmatch(value):
        text = f"{value[:SHORT]}…"
    else:
        text = str(value)
    return text if len(text) <= LINE else f"{text[: LINE - 1]}…"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value
