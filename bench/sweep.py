"""A sweep of 24 small models, all-in: `run_jobs`, Dagster; joblib, Optuna, Ray over a bare loop.

Each side trains the same 24 multi-layer perceptrons for 30 epochs on the breast cancer data on two
processes, starting from nothing: process start, import of torch, encoding, training, scoring. The
bare loop under joblib keeps nothing, under Optuna parameters and scores (24 queued trials in a
journal file that two processes share); the others record every model, its metrics and its
predictions. Ray Tune, which the project does not depend on, is compared where it can be imported
(`pip install 'ray[tune]'`). The sides take turns, so that one run's ratios are of the same machine
and load.

    python bench/sweep.py [--rounds N] [--json]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
ROOT = HERE.parent
SIDES = {
    "joblib": "joblib, bare loop",
    "optuna": "Optuna, bare loop",
    "ray": "Ray Tune, bare loop",
    "run_jobs": "run_jobs(workers=2)",
    "dagster": "Dagster",
}


def main() -> None:
    """Time each side in turn, round by round, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    sides = [side for side in SIDES if side != "ray" or importlib.util.find_spec("ray")]
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(options.rounds):
        for side, times in seconds.items():
            times.append(timed(side))
    report({side: median(times) for side, times in seconds.items()}, as_json=options.json)


def timed(side: str) -> float:
    """Run one side in a fresh process with a store of its own, and return its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "dagster"
        home.mkdir()
        (home / "dagster.yaml").write_bytes((ROOT / ".dagster_home" / "dagster.yaml").read_bytes())
        places = {"AIQC_HOME": f"{folder}/aiqc", "DAGSTER_HOME": str(home), "AIQC_WORKERS": "2"}
        command = (
            [str(Path(sys.executable).with_name("dagster")), "job", "execute",
             "-f", str(HERE / "sweep_location.py"), "-a", "defs", "-j", "retrain_sweep"]
            if side == "dagster"
            else [sys.executable, str(HERE / "sweep_sides.py"), side]
        )  # fmt: skip
        before = time.perf_counter()
        subprocess.run(command, check=True, env=os.environ | places, cwd=HERE, capture_output=True)
        return time.perf_counter() - before


def report(seconds: dict[str, float], *, as_json: bool) -> None:
    """Print a table; with `--json` one object on the last line."""
    bare = seconds["joblib"]
    table = Table(title="24 models x 30 epochs, all-in, median")
    for column in ("side", "seconds", "ratio to joblib", "ratio to Optuna"):
        table.add_column(column, justify="left" if column == "side" else "right")
    for side, value in seconds.items():
        ratios = (f"{value / seconds[other]:.2f}" for other in ("joblib", "optuna"))
        table.add_row(SIDES[side], f"{value:.1f}", *ratios)
    Console().print(table)
    if as_json:
        figures = {f"{side}_seconds": value for side, value in seconds.items()}
        figures |= {
            f"{side}_ratio": value / bare for side, value in seconds.items() if side != "joblib"
        }
        figures |= {
            f"{side}_optuna_ratio": seconds[side] / seconds["optuna"]
            for side in ("run_jobs", "dagster")
        }
        sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
