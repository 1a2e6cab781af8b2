"""B19: many Jobs in one process, and the memory of each is given back."""

from __future__ import annotations

import json
import logging
import os
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import small_training

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

JOBS, WARM_UP, WIDTH = 11, 4, 1500
MODEL_MB = WIDTH * WIDTH * 4 / 2**20
FRACTION = 0.2


def torch_build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    from torch import nn

    width = hp["width"]
    layers = [nn.Linear(features_shape[0], width), nn.Linear(width, width)]
    return nn.Sequential(*layers, nn.Linear(width, label_shape[0]), nn.Sigmoid())


def keras_build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    from keras import Sequential, layers

    hidden = [layers.Dense(hp["width"]) for _ in range(2)]
    return Sequential([layers.Input(features_shape), *hidden, layers.Dense(1, "sigmoid")])


MEASURED = """
import dataclasses, json, pickle
import psutil
from aiqc_core.stages.train import run
spec, resident = pickle.load(open("spec", "rb")), []
for number in range(int(open("jobs").read())):
    outcome = run.run(dataclasses.replace(spec, seed=number))
    assert outcome.failure is None, outcome.failure.traceback
    del outcome
    resident.append(psutil.Process().memory_info().rss / 2**20)
print(json.dumps(resident))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("library", "build"), [("pytorch", torch_build), ("keras", keras_build)])
def test_many_jobs_in_one_process_need_no_more_memory_than_a_few(
    tmp_path: Path, library: str, build: Any
) -> None:
    """After a warm-up, the memory that no Job gives back grows by a fraction of a model a Job.

    glibc's allocator keeps or gives back several freed models, as it happens. With a threshold
    that is set, it gives back each at once, so that what stays is what something still holds.
    """
    spec = small_training.make_spec(
        tmp_path, library, fn_build=build, hyperparameters={"width": WIDTH}
    )
    (tmp_path / "spec").write_bytes(pickle.dumps(spec))
    (tmp_path / "jobs").write_text(str(JOBS))
    done = subprocess.run(
        [sys.executable, "-c", MEASURED],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": str(2**20)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    resident = json.loads(done.stdout.splitlines()[-1])
    slope = np.polyfit(range(JOBS - WARM_UP), resident[WARM_UP:], 1)[0]
    logger.info("%s: %.2f MiB a Job, of a model of %.1f MiB", library, slope, MODEL_MB)
    assert slope < FRACTION * MODEL_MB, resident
