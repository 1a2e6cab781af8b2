"""Print every fault of the declarations at a path."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from aiqc_core.cli import output
from aiqc_core.cli.project import defs_folder, relative
from aiqc_core.errors import NotFoundError
from aiqc_core.experiment.declaration import LOADER, Fault, Found, survey
from aiqc_core.experiment.declaration.names import UnknownNameError, resolve


def show(path: Path | None, *, data: bool, as_json: bool) -> bool:
    """Print one line an experiment, and one a fault; return whether there is no fault.

    Args:
        path: a declaration, or a folder of them; the project's own by default.
        data: also call the sources.
        as_json: print all as one JSON object.
    """
    place = path or defs_folder()
    found = _found(place, deep=data)
    if not found:
        raise NotFoundError(
            f"{relative(place)} declares no experiment (a folder with defs.yaml or "
            "experiment.py). Make one: aiqc init NAME."
        )
    faults = sum(len(one.faults) for one in found)
    if as_json:
        output.as_json({"sound": faults == 0, "declarations": [_members(one) for one in found]})
        return faults == 0
    console = Console(soft_wrap=True, highlight=False)
    for one in found:
        _print(console, one)
    good = sum(not one.faults for one in found)
    console.print(f"{good} of {len(found)} declarations are sound, {faults} fault(s).")
    return faults == 0


def _found(place: Path, *, deep: bool) -> list[Found]:
    """Return the declarations, and the faults that Dagster finds beside them."""
    seen = survey(place, deep=deep)
    known = {fault for one in seen for fault in one.faults}
    if any(one.experiment is None and not one.faults for one in seen):
        with suppress(UnknownNameError):  # AIQC is here without Dagster
            faults = resolve(LOADER, place)(place)
            seen += [Found(f.file, None, (f,)) for f in faults if f not in known]
    return [one for one in seen if one.experiment is not None or one.faults]


def _members(one: Found) -> dict[str, Any]:
    """Return what JSON says of a declaration."""
    return {
        "file": relative(one.file),
        "experiment": one.experiment and one.experiment.name,
        "metric": one.experiment and one.experiment.leading_metric,
        "faults": [asdict(_relative(fault)) for fault in one.faults],
    }


def _print(console: Console, one: Found) -> None:
    if one.faults or one.experiment is None:
        console.print(f"[red]faulty[/] {escape(relative(one.file))}")
        for fault in one.faults:
            console.print(Text(f"  {_relative(fault)}"))
        return
    console.print(f"[green]sound[/]  {escape(relative(one.file))}: {one.experiment.name}")


def _relative(fault: Fault) -> Fault:
    return replace(fault, file=Path(relative(fault.file)))
