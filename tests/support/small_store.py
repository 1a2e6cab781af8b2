"""A store with data and pickles in it, made without training; and processes that use it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import small_experiment

from aiqc_core import config
from aiqc_core.orm import Algorithm, Dataset, Feature, Label, Queue, Splitset, metastore

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = 20_000
ATTEMPT = (
    "INSERT INTO attempt (id, repeat_index, status, owner, job_id, time_created, time_updated, "
    "is_starred) VALUES (1, 0, 'running', '{}', 1, '2026-11-25T00:00:00+00:00', "
    "'2026-11-25T00:00:00+00:00', 0)"
)


def fill(name: str = "kept") -> Path:
    """Fill the present store with all that comes before a training; returns its file, closed."""
    values = np.random.default_rng(0).normal(size=(ROWS, 3))
    dataset = Dataset.Tabular.from_df(pd.DataFrame(values, columns=list("abc")), name=name)
    feature = Feature.from_dataset(dataset.id, include_columns=["a", "b"])
    label = Label.from_dataset(dataset.id, columns=["c"])
    splitset = Splitset.make([feature.id], label.id, size_test=0.2)
    algorithm = Algorithm.make(
        "pytorch", "regression", small_experiment.fn_build, small_experiment.fn_train
    )
    Queue.from_algorithm(algorithm.id, splitset.id)
    metastore.close()
    return config.database_path()


def change(path: Path, *statements: str) -> None:
    """Do to a file what no program of ours does."""
    with closing(sqlite3.connect(path)) as store, store:
        store.execute("PRAGMA foreign_keys = 0")
        for statement in statements:
            store.execute(statement)


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@contextmanager
def process(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run Python code in a process, once it has said "ready"; it is killed at the end."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True,
        cwd=Path(__file__).parent,
    )  # fmt: skip
    try:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        yield running
    finally:
        running.kill()
        running.communicate()
