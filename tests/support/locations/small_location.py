"""A code location with the small experiment, for commands that load a file."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from small_experiment import declare

from aiqc_dagster.build import experiment

defs = experiment.build([declare(schedule="* * * * *")])
