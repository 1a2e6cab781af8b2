"""The sweep as a Dagster code location."""

from __future__ import annotations

from sweep_experiment import EXPERIMENT

from aiqc_dagster.build import experiment

defs = experiment.build([EXPERIMENT])
