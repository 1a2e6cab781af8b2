"""A12: Keras has one backend in every process, or training is refused at the start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

CHOSEN = "from aiqc_core import keras_backend as k; print(*k.chosen(), sep='|'); k.refuse_other()"
QUEUE = """
import numpy as np, pandas as pd, sys
from aiqc_core.errors import AlgorithmError
from aiqc_core.orm import Algorithm, Attempt, Dataset, Feature, Label, Queue, Splitset

def fn_build(features_shape, label_shape, **hp):
    import keras
    return keras.Sequential([keras.layers.Input(features_shape), keras.layers.Dense(1)])

def fn_train(model, loser, optimizer, x, y, a, b, **hp):
    model.compile(loss=loser, optimizer=optimizer)
    model.fit(x, y, verbose=0)
    return model

if __name__ == "__main__":
    frame = pd.DataFrame({"x": np.arange(20.0), "y": np.sin(np.arange(20.0))})
    data = Dataset.Tabular.from_df(frame)
    feature = Feature.from_dataset(data.id, exclude_columns=["y"])
    cut = Splitset.make([feature.id], Label.from_dataset(data.id, ["y"]).id, size_test=0.2)
    algorithm = Algorithm.make("keras", "regression", fn_build, fn_train)
    queue = Queue.from_algorithm(algorithm.id, cut.id)
    for workers in (None, 1):
        try:
            queue.run_jobs(workers=workers)
        except AlgorithmError as error:
            print(error)
    print("attempts", Attempt.select().count())
"""
WORKER = """
from aiqc_core.workers.pool import WarmPool
if __name__ == "__main__":
    with WarmPool(1) as pool:
        pool.submit("ask", "aiqc_core.stages.train.backends.base:get_backend", "keras")
        (done,) = pool.wait(60)
        print(done.error.message)
"""


def run(folder: Path, code: str, **environment: str) -> tuple[int, str]:
    """Run code in a process that no test has changed; return its exit code and what it prints."""
    (folder / "script.py").write_text(code)
    clean = {k: v for k, v in os.environ.items() if not k.startswith("KERAS")}
    clean |= {"HOME": str(folder), "AIQC_HOME": str(folder / "store")}
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=folder, env=clean | environment, check=False,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_nothing_said_is_tensorflow(tmp_path: Path) -> None:
    code, said = run(tmp_path, CHOSEN)
    assert (code, said.split("|")[0]) == (0, "tensorflow"), said


@pytest.mark.parametrize("home", [".keras", "elsewhere"])
def test_the_settings_file_of_keras_is_heard(tmp_path: Path, home: str) -> None:
    (tmp_path / home).mkdir()
    (tmp_path / home / "keras.json").write_text(json.dumps({"backend": "torch"}))
    more = {} if home == ".keras" else {"KERAS_HOME": str(tmp_path / home)}
    code, said = run(tmp_path, CHOSEN, **more)
    assert code != 0
    assert f"{home}/keras.json says 'torch'" in said
    code, said = run(tmp_path, CHOSEN, KERAS_BACKEND="tensorflow", **more)
    assert code == 0, said  # what the message says helps


@pytest.mark.slow
def test_an_imported_keras_is_asked(tmp_path: Path) -> None:
    code, said = run(tmp_path, f"import keras\n{CHOSEN}", KERAS_BACKEND="torch")
    assert code != 0
    assert "keras, as it was imported, says 'torch'" in said


@pytest.mark.slow
def test_a_queue_is_refused_before_any_job_whoever_trains(tmp_path: Path) -> None:
    code, said = run(tmp_path, QUEUE, KERAS_BACKEND="torch")
    assert code == 0, said
    assert said.count("KERAS_BACKEND says 'torch': models of one Queue would be") == 2
    assert "attempts 0" in said


@pytest.mark.slow
def test_a_worker_refuses_as_its_parent_does(tmp_path: Path) -> None:
    code, said = run(tmp_path, WORKER, KERAS_BACKEND="torch")
    assert code == 0, said
    assert "the process that started this worker says 'torch'" in said
