"""What the store and the command line cost: listing, opening, recording, importing.

    python bench/store.py [--jobs 10000] [--rows 1000000] [--rounds 5] [--json]

| figure               | goal                                                                   |
|----------------------|------------------------------------------------------------------------|
| metrics_df           | below 1 s for 10,000 Predictors, however large their models are        |
| first query          | below 0.2 s on a store of 1,000,000 rows, in a new process             |
| recording            | below 10 ms a Predictor beside its bytes, which are there already      |
| import aiqc_core.orm | below 0.5 s, `aiqc --help` below 0.4 s: a new process, the fastest     |
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
HERE = Path(__file__).parent
LARGE_BYTES = 64 * 2**20
CHUNK = 500
QUIET: dict[str, Any] = {"check": True, "capture_output": True}
FIRST_QUERY = """
import time
from aiqc_core.orm import Attempt
before = time.perf_counter()
Attempt.select().first()
print(time.perf_counter() - before)
"""


def main() -> None:
    """Measure everything in stores that are thrown away."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aiqc-bench-") as folder:
        os.environ |= {"AIQC_HOME": f"{folder}/aiqc", "BENCH_JOBS": str(arguments.jobs)}
        figures = listing_and_recording(arguments.rounds)
        figures |= opening(arguments.rows, arguments.rounds)
        figures |= starting(arguments.rounds)
    for name, seconds in figures.items():
        print(f"{name:<52}{seconds * 1000:>10.1f} ms")
    if arguments.json:
        print(json.dumps(figures))


def listing_and_recording(rounds: int) -> dict[str, float]:
    """List 10,000 Predictors with small and with large models; record one."""
    from partitions_location import EXPERIMENT, JOBS

    from aiqc_core.experiment import workflow
    from aiqc_core.orm import Predictor
    from aiqc_core.orm.training.run import train_one

    queue = workflow.prepare(EXPERIMENT, "s1")
    outcome = train_one(queue.jobs[0], 0)
    assert outcome is not None
    figures = {"record a Predictor, its bytes there": recording(queue, outcome, rounds)}
    multiply(queue)
    assert Predictor.select().count() == JOBS
    figures[f"metrics_df of {JOBS} Predictors"] = typical(queue.metrics_df, rounds)
    grow()
    figures["the same, of models of 64 MiB"] = typical(queue.metrics_df, rounds)
    figures["metricsAggregate_df"] = typical(queue.metricsAggregate_df, rounds)
    return figures


def recording(queue: Any, outcome: Any, rounds: int) -> float:
    """Record what one training gave for other Jobs, claims and all; its bytes are deduplicated."""
    from aiqc_core.orm import Predictor
    from aiqc_core.orm.training.record import record

    jobs = iter(queue.jobs[1 : 2 * rounds + 1])

    def record_next() -> None:
        job = next(jobs)
        record(job, job.claim(0), outcome)

    record_next()
    seconds = typical(record_next, rounds)
    first = Predictor.select().first()
    for row in Predictor.select().where(Predictor.id != first.id):
        row.delete_instance(cascade=True)
    return seconds


def multiply(queue: Any) -> None:
    """Give every other Job the rows of the first Predictor and its Prediction."""
    from aiqc_core.orm import Prediction, Predictor, metastore

    (predictor,) = Predictor.select().dicts()
    (prediction,) = Prediction.select().dicts()
    columns = [{k: v for k, v in row.items() if k != "id"} for row in (predictor, prediction)]
    jobs = [job.id for job in queue.jobs if job.id != predictor["job"]]
    with metastore.atomic():
        for start in range(0, len(jobs), CHUNK):
            some = jobs[start : start + CHUNK]
            Predictor.insert_many([columns[0] | {"job": job} for job in some]).execute()
        ids = [
            row.id for row in Predictor.select(Predictor.id).where(Predictor.id != predictor["id"])
        ]
        for start in range(0, len(ids), CHUNK):
            some = ids[start : start + CHUNK]
            Prediction.insert_many([columns[1] | {"predictor": i} for i in some]).execute()


def grow() -> None:
    """Make the model of every Predictor a large one."""
    from aiqc_core.orm import Predictor

    first = Predictor.select().first()
    first.model_file = Predictor.model_file.store(os.urandom(LARGE_BYTES))
    first.save()
    digest = first.__data__["model_file"]
    Predictor.update({Predictor.model_file: digest}).execute()


def opening(rows: int, rounds: int) -> dict[str, float]:
    """Ask a first question of a store with many rows, each time in a new process."""
    from aiqc_core.orm import Attempt, metastore

    (row,) = Attempt.select().limit(1).dicts()
    columns = {k: v for k, v in row.items() if k != "id"}
    names = ", ".join(f'"{Attempt._meta.fields[name].column_name}"' for name in columns)
    with metastore.atomic():  # doubled until there are enough
        count = Attempt.select().count()
        while count < rows:
            metastore.execute_sql(
                f"INSERT INTO attempt ({names}) SELECT {names} FROM attempt LIMIT {rows - count}"  # noqa: S608 - our own names
            )
            count = Attempt.select().count()
    metastore.close()
    code = [sys.executable, "-c", FIRST_QUERY]
    seconds = [float(subprocess.check_output(code, text=True)) for _ in range(rounds)]
    return {f"first query, {count} rows": median(seconds)}


def starting(rounds: int) -> dict[str, float]:
    """Start processes that import the rows, or show the command's help."""
    aiqc = str(Path(sys.executable).with_name("aiqc"))
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import aiqc_core.orm": [sys.executable, "-c", "import aiqc_core.orm"],
        "aiqc --help": [aiqc, "--help"],
    }
    return {
        name: min(timed(partial(subprocess.run, command, **QUIET)) for _ in range(rounds))
        for name, command in commands.items()
    }


def typical(call: Callable[[], Any], rounds: int) -> float:
    """Return the median of the seconds that a call takes."""
    return median(timed(call) for _ in range(rounds))


def timed(call: Callable[[], Any]) -> float:
    """Return the seconds that a call takes."""
    before = time.perf_counter()
    call()
    return time.perf_counter() - before


if __name__ == "__main__":
    main()
