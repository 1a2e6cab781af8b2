"""Print every fault of the declarations at a path."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from aiqc_core.cli import telling
from aiqc_core.cli.project import defs_folder, shown
from aiqc_core.errors import NotFoundError
from aiqc_core.experiment.declaration import LOADER, Fault, Found, survey
from aiqc_core.experiment.declaration.names import UnknownNameError, resolve

if TYPE_CHECKING:
    from collections.abc import Iterable


def show(path: Path | None, *, deep: bool, as_json: bool = False) -> bool:
    """Print one line an experiment, and one a fault; or all as one JSON object.

    Args:
        path: a declaration, or a folder of them; the project's own by default.
        deep: also call the sources.
        as_json: as one JSON object.

    Returns:
        Whether there is no fault.

    Raises:
        NotFoundError: nothing is declared there.
    """
    place = path or defs_folder()
    found = _found(place, deep=deep)
    if not found:
        message = (
            f"{shown(place)} declares no experiment (a folder with defs.yaml or experiment.py). "
            "Make one: aiqc init NAME."
        )
        raise NotFoundError(message)
    if as_json:
        telling.as_json({"sound": not any(one.faults for one in found)}, declarations=_all(found))
        return not any(one.faults for one in found)
    console = Console(soft_wrap=True, highlight=False)
    for one in found:
        _print(console, one)
    faults = sum(len(one.faults) for one in found)
    good = sum(not one.faults for one in found)
    console.print(f"{good} of {len(found)} declarations are sound, {faults} fault(s).")
    return faults == 0


def _found(place: Path, *, deep: bool) -> list[Found]:
    """Return the declarations, and what else is faulty; of what is Dagster's, Dagster says it."""
    seen = survey(place, deep=deep)
    known = {fault for one in seen for fault in one.faults}
    if any(one.experiment is None and not one.faults for one in seen):
        with suppress(UnknownNameError):  # AIQC is here without Dagster
            faults = resolve(LOADER, place)(place)
            seen += [Found(f.file, None, (f,)) for f in faults if f not in known]
    return [one for one in seen if one.experiment is not None or one.faults]


def _all(found: Iterable[Found]) -> list[dict[str, Any]]:
    """Return what JSON says of each declaration."""
    return [
        {
            "file": shown(one.file),
            "experiment": None if one.experiment is None else one.experiment.name,
            "metric": None if one.experiment is None else one.experiment.leading_metric,
            "faults": [asdict(_relative(fault)) for fault in one.faults],
        }
        for one in found
    ]


def _print(console: Console, one: Found) -> None:
    if one.faults or one.experiment is None:
        console.print(f"[red]faulty[/] {escape(shown(one.file))}")
        for fault in one.faults:
            console.print(Text(f"  {_relative(fault)}"))
        return
    experiment = one.experiment
    console.print(f"[green]sound[/]  {escape(shown(one.file))}: {experiment.name}")


def _relative(fault: Fault) -> Fault:
    return replace(fault, file=Path(shown(fault.file)))
