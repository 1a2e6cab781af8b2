"""Train the breast_cancer experiment through Dagster, and show what came of it: `make demo`.

A second call trains nothing. What Dagster logs is in its instance: `make ui`.
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import time
import uuid
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg

EXPERIMENT = "breast_cancer"
DEMO_TAG = "aiqc/demo"
QUIET = "loggers: {console: {config: {log_level: CRITICAL}}}\n"
POLL_SECONDS = 0.3
PROMISE = """\
AIQC on Dagster trains 12 small networks on scikit-learn's breast cancer data
(3 folds x 4 combinations). Each stage below is an asset of Dagster, each model
a cell of the asset predictor; a second run trains only what is missing.
"""
NEXT = """\
Next:
  make ui                          # see the assets; train, schedule and compare there
  .venv/bin/aiqc trace 1 --row 0   # from one prediction back to rows, encoders, code
  .venv/bin/aiqc init mine         # an experiment of your own
"""


def main() -> int:
    """Run the job, print a line a stage, then the leaderboard; return the job's exit code."""
    print(PROMISE, flush=True)
    started = dt.datetime.now().isoformat(timespec="seconds")  # noqa: DTZ005 - the clock of aiqc
    name = uuid.uuid4().hex
    with TemporaryDirectory() as folder:
        config, log = Path(folder, "quiet.yaml"), Path(folder, "log")
        config.write_text(QUIET)
        with log.open("wb") as output:
            job = ["-m", "aiqc_dagster.definitions", "-j", f"retrain_{EXPERIMENT}", "-c", config]
            tags = json.dumps({DEMO_TAG: name})
            command = [program("dagster"), "job", "execute", *job, "--tags", tags]
            running = subprocess.Popen(command, stdout=output, stderr=output)
        follow(running, name)
        if running.returncode:
            print(log.read_text(errors="replace"), file=sys.stderr)
            return running.returncode
    subprocess.run([program("aiqc"), "leaderboard", EXPERIMENT, "--since", started], check=True)
    print(NEXT)
    return 0


def follow(running: subprocess.Popen[bytes], name: str) -> None:
    """Print a line for each stage of the run that ends, until the run does."""
    shown: set[str] = set()
    with dg.DagsterInstance.get() as instance:
        while True:
            ended = running.poll() is not None
            for run in instance.get_runs(dg.RunsFilter(tags={DEMO_TAG: name})):
                stages: dict[str, list[Any]] = {}
                for step in instance.get_run_step_stats(run.run_id):
                    stages.setdefault(step.step_key.partition("[")[0], []).append(step)
                begun = list(stages)
                for place, (stage, steps) in enumerate(stages.items()):
                    is_done = all(step.end_time for step in steps)
                    is_last = place == len(begun) - 1 and len(steps) > 1
                    if stage not in shown and is_done and (ended or not is_last):
                        shown.add(stage)
                        print(line(stage.removeprefix(f"{EXPERIMENT}_"), steps), flush=True)
            if ended:
                print()
                return
            time.sleep(POLL_SECONDS)


def line(stage: str, steps: list[Any]) -> str:
    """Return what became of the steps of one stage, and how long they took together."""
    failed = sum(step.status.value != "SUCCESS" for step in steps)
    state = f"{failed} failed" if failed else "done"
    count = f"{len(steps)} steps" if len(steps) > 1 else ""
    seconds = max(s.end_time or 0 for s in steps) - min(s.start_time or 0 for s in steps)
    return f"  {stage:18} {state:10} {seconds:6.1f} s  {count}".rstrip()


def program(name: str) -> str:
    """Return the path of a command of this environment."""
    return str(Path(sys.executable).with_name(name))


if __name__ == "__main__":
    sys.exit(main())
