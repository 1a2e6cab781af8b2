"""Where the project that one stands in keeps its declarations."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from aiqc_core.errors import NotFoundError


def defs_folder(start: Path | None = None) -> Path:
    """Return the folder that `[tool.dg.project]` of the nearest pyproject.toml names.

    Args:
        start: where to begin to look, upwards; the working directory by default.

    Raises:
        NotFoundError: no such file, or it names none.
    """
    here = (start or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        file = folder / "pyproject.toml"
        if file.is_file():
            defs = _named(file)
            if defs is not None:
                return folder.joinpath(*defs.split("."))
    message = (
        f"no pyproject.toml at or above {here} names the folder of declarations "
        "([tool.dg.project] defs_module). Go to the project, or name a folder."
    )
    raise NotFoundError(message)


def shown(path: Path) -> str:
    """Return a path as people in this working directory would type it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _named(file: Path) -> str | None:
    try:
        settings: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        message = f"{file} is no TOML: {error}."
        raise NotFoundError(message) from error
    return settings.get("tool", {}).get("dg", {}).get("project", {}).get("defs_module")
