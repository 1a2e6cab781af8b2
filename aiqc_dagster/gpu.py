"""What a training asks of the machine it runs on, said once for every executor.

| executor              | what it heeds                                                        |
|-----------------------|----------------------------------------------------------------------|
| in-process, processes | the pool `train`, whose limit is the number of device slots          |
| Celery                | the queue `gpu`, to which the workers with a device listen           |
| Kubernetes            | `nvidia.com/gpu: 1` on the pod of the mapped step, and on no other    |

Where models train without an accelerator, `AIQC_GPUS_PER_JOB=0` asks for none.
"""

from __future__ import annotations

import json
import os
from typing import Any

from aiqc_core.errors import TrainingError
from aiqc_dagster import pods

GPUS_VARIABLE = "AIQC_GPUS_PER_JOB"
TRAIN_POOL = "train"
GPU_QUEUE, DEFAULT_QUEUE = "gpu", "default"
QUEUE_TAG = "dagster-celery/queue"  # the name that dagster-celery reads, too
TIME_LIMIT_TAG = "aiqc/time_limit"


def gpus_per_job() -> int:
    """Return how many accelerators a training asks for: 1 unless the environment says otherwise.

    Raises:
        TrainingError: the variable holds no whole number from 0.
    """
    given = os.environ.get(GPUS_VARIABLE, "1")
    if not given.isdecimal():
        message = f"{GPUS_VARIABLE}={given!r}: give a whole number from 0."
        raise TrainingError(message)
    return int(given)


def train_tags(time_limit: float | None = None) -> dict[str, Any]:
    """Return the tags of the step that trains; each executor reads its own.

    Args:
        time_limit: seconds that one Job may take, heeded by the warm pool and by Kubernetes.
    """
    count = gpus_per_job()
    queue = GPU_QUEUE if count else DEFAULT_QUEUE
    tags: dict[str, Any] = {QUEUE_TAG: queue}
    if pod := pods.of_training(count, time_limit):
        tags["dagster-k8s/config"] = json.dumps(pod)
    if time_limit is not None:
        tags[TIME_LIMIT_TAG] = str(time_limit)
    return tags
