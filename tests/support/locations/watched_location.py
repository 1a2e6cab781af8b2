"""A code location whose small experiment reads a file, named by the environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from small_experiment import declare

from aiqc_dagster.build import experiment

defs = experiment.build([declare(source=Path(os.environ["WATCHED_FILE"]))])
