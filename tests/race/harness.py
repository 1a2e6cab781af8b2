"""Several processes write one store at once; afterwards nothing is lost, and nothing is double.

    python tests/race/harness.py --processes 8 --operations 500

Each process draws its operations from its own seed: a new version of a Dataset that all share, a
Splitset, a star, a listing. Before that all of them train one Queue together.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import forking
import pandas as pd
from small_experiment import declare

from aiqc_core import config
from aiqc_core.experiment import workflow
from aiqc_core.orm import (
    Attempt,
    Dataset,
    Feature,
    Job,
    Label,
    Predictor,
    Queue,
    Splitset,
    metastore,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SHARED = "shared"
EPOCHS = (1, 2, 3, 4)


def main() -> int:
    """Race; return 0 when the store holds exactly what was written."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--operations", type=int, default=500, help="of each process")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aiqc-race-") as folder:
        os.environ[config.HOME_VARIABLE] = f"{folder}/first"
        forking.load_once(train)
        os.environ[config.HOME_VARIABLE] = f"{folder}/aiqc"
        started = time.perf_counter()
        faults = race(arguments.processes, arguments.operations, Path(folder))
        seconds = time.perf_counter() - started
    count = arguments.processes * arguments.operations
    print(
        f"{count} operations of {arguments.processes} processes in {seconds:.1f} s",
        *faults,
        sep="\n  ",
    )
    print(f"{len(faults)} faults" if faults else "nothing lost, nothing double, nobody locked out")
    return min(len(faults), 1)


def race(processes: int, operations: int, folder: Path) -> list[str]:
    """Let the processes loose and return what is wrong afterwards."""
    with ThreadPoolExecutor(processes) as threads:
        calls = [partial(work, number, operations) for number in range(processes)]
        logs = [folder / f"{number}.log" for number in range(processes)]
        counts = list(threads.map(forking.answer, calls, logs))
    done: collections.Counter[str] = collections.Counter()
    for count in counts:
        done.update(count)
    return compared(done)


def train() -> None:
    """Train the Queue, or what others have left of it."""
    workflow.run(declare(epochs=EPOCHS), snapshot="s1")


def work(number: int, operations: int) -> dict[str, int]:
    """Train the Queue with the others, then do one operation after another; count them."""
    train()
    draw, done = random.Random(number), collections.Counter()
    kinds: dict[str, Callable[[random.Random, str], Any]] = {
        "version": version, "splitset": splitset, "star": star, "listing": listing,
    }  # fmt: skip
    for step in range(operations):
        kind = draw.choice(list(kinds))
        kinds[kind](draw, f"{number} {step}")
        done[kind] += 1
    return dict(done)


def version(draw: random.Random, mark: str) -> None:
    """Register content that nobody else has, under the name that all share."""
    frame = pd.DataFrame({"mark": [mark] * 3, "value": [draw.random() for _ in range(3)]})
    Dataset.Tabular.from_df(frame, name=SHARED)


def splitset(draw: random.Random, mark: str) -> None:
    """Cut the Feature of the experiment's data in a way of its own."""
    feature, label = Feature.select().first(), Label.select().first()
    made = Splitset.make([feature.id], label.id, size_test=0.2, seed=draw.randrange(10**6))
    made.set_info(name=mark)


def star(draw: random.Random, mark: str) -> None:
    """Change a row that others change too."""
    row = Queue.select().first()
    row.set_info(description=mark)


def listing(draw: random.Random, mark: str) -> None:
    """Read what others write."""
    versions = [row.version for row in Dataset.select().where(Dataset.name == SHARED)]
    assert sorted(versions) == list(range(1, len(versions) + 1)), versions


def compared(done: collections.Counter[str]) -> list[str]:
    """Return in what the store differs from what was done."""
    versions = sorted(row.version for row in Dataset.select().where(Dataset.name == SHARED))
    named = [row.name for row in Splitset.select() if row.name]
    succeeded = [a.job_id for a in Attempt.select().where(Attempt.status == "succeeded")]
    jobs = 2 * len(EPOCHS)
    expected: list[tuple[str, Any, Any]] = [
        ("versions", versions, list(range(1, done["version"] + 1))),
        ("Splitsets", len(set(named)), done["splitset"]),
        ("double Splitsets", len(named), len(set(named))),
        ("Queues", Queue.select().count(), 1),
        ("Jobs", Job.select().count(), jobs),
        ("Predictors", Predictor.select().count(), jobs),
        ("trainings that ended well", sorted(succeeded), sorted(set(succeeded))),
        ("SQLite's verdict", metastore.execute_sql("PRAGMA integrity_check").fetchone()[0], "ok"),
    ]
    frames = {tuple(row.to_df()["mark"]) for row in Dataset.select().where(Dataset.name == SHARED)}
    expected.append(("contents", len(frames), done["version"]))
    return [
        f"{name}: {found}, not {wanted}" for name, found, wanted in expected if found != wanted
    ]


if __name__ == "__main__":
    sys.exit(main())
