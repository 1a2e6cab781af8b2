"""A code location with the experiment whose runs are killed."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
sys.path.insert(0, str(Path(__file__).parent))

from scenarios import EXPERIMENT

from aiqc_dagster.build import experiment

defs = experiment.build([EXPERIMENT])
