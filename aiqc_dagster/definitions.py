"""The code location: every experiment under `defs/`, as assets and jobs."""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from typing import TYPE_CHECKING

import dagster as dg

from aiqc_dagster import assets, checks, jobs, ops
from aiqc_dagster import defs as declared
from aiqc_dagster.executor import warm_pool_executor
from aiqc_dagster.resources import MetastoreResource

if TYPE_CHECKING:
    from aiqc_core.experiment import Experiment


def experiments() -> list[Experiment]:
    """Return the `EXPERIMENT` of each package under `defs/`, by name."""
    packages = pkgutil.iter_modules(declared.__path__, f"{declared.__name__}.")
    found = [importlib.import_module(f"{p.name}.experiment").EXPERIMENT for p in packages]
    return sorted(found, key=lambda experiment: experiment.name)


def build(found: list[Experiment]) -> dg.Definitions:
    """Return assets, their checks and jobs of experiments, run by the warm pool."""
    with warnings.catch_warnings():
        # Mappings, backfill policies and partitioned checks are beta or preview, and wanted.
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        training = [(experiment, ops.training_ops(experiment)) for experiment in found]
        return dg.Definitions(
            assets=[asset for e, steps in training for asset in assets.build(e, steps)],
            asset_checks=[check for experiment in found for check in checks.build(experiment)],
            jobs=[jobs.retrain(e, steps) for e, steps in training],
            resources={"metastore": MetastoreResource()},
            executor=warm_pool_executor,
        )


defs = build(experiments())
