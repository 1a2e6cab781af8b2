"""The code location: every experiment under `defs/`, as assets and jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiqc_core.errors import NotFoundError
from aiqc_core.experiment import declaration
from aiqc_dagster import defs as declared
from aiqc_dagster.build import loader
from aiqc_dagster.build.experiment import whole

if TYPE_CHECKING:
    from aiqc_core.experiment import Experiment


def experiments() -> list[Experiment]:
    """Return the experiments declared under `defs/` that have no fault, by name."""
    found = declaration.discover(loader.root_of(declared))
    sound = [one.experiment for one in found if one.experiment is not None and not one.faults]
    return sorted(sound, key=lambda experiment: experiment.name)


def experiment(name: str) -> Experiment:
    """Return the experiment of a name.

    Raises:
        NotFoundError: none has it; the message lists those there are.
    """
    found = {one.name: one for one in experiments()}
    if name not in found:
        raise NotFoundError(f"experiment: {name!r} is not declared; those are {list(found)}.")
    return found[name]


defs = whole(*loader.load(declared))
