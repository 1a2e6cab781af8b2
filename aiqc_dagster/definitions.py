"""The code location: every experiment under `defs/`, as assets and jobs."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

import dagster as dg

from aiqc_dagster import bundle
from aiqc_dagster import defs as declared

if TYPE_CHECKING:
    from aiqc_core.experiment import Experiment


def experiments() -> list[Experiment]:
    """Return the `EXPERIMENT` of each package under `defs/`, by name."""
    packages = pkgutil.iter_modules(declared.__path__, f"{declared.__name__}.")
    found = [importlib.import_module(f"{p.name}.experiment").EXPERIMENT for p in packages]
    return sorted(found, key=lambda experiment: experiment.name)


def build(found: list[Experiment]) -> dg.Definitions:
    """Return assets, their checks and jobs of experiments, run by the warm pool."""
    return dg.Definitions.merge(
        *map(bundle.of_experiment, found),
        bundle.of_notebooks(),
        bundle.of_everything(),
    )


defs = build(experiments())
