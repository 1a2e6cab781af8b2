"""A code location with one combination and no folds: each asset is one click."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from small_experiment import declare

from aiqc_dagster.build import experiment

EXPERIMENT = declare(epochs=(2,), fold_count=None)
defs = experiment.build([EXPERIMENT])
