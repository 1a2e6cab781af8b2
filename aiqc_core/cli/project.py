"""Find the folder of declarations of the project in the working directory."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from aiqc_core.errors import NotFoundError


def defs_folder() -> Path:
    """Return the folder that `[tool.dg.project]` of the nearest pyproject.toml names."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        file = folder / "pyproject.toml"
        defs = _defs_module(file) if file.is_file() else None
        if defs is not None:
            return folder.joinpath(*defs.split("."))
    raise NotFoundError(
        f"no pyproject.toml at or above {here} names the folder of declarations "
        "([tool.dg.project] defs_module). Go to the project, or name a folder."
    )


def relative(path: Path) -> str:
    """Return a path as people in this working directory would type it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _defs_module(file: Path) -> str | None:
    try:
        settings: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise NotFoundError(f"{file} is no TOML: {error}.") from error
    return settings.get("tool", {}).get("dg", {}).get("project", {}).get("defs_module")
