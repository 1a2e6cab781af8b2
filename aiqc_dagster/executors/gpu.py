"""What a training requests from its machine, for every executor.

| executor              | what it uses                                                         |
|-----------------------|----------------------------------------------------------------------|
| warm pool             | a device slot that the worker leases (`AIQC_DEVICES`), and the pool  |
| in-process, processes | the same; the step's process leases the slot                         |
| Celery                | the queue `gpu`, to which the workers with a device listen           |
| Kubernetes            | `nvidia.com/gpu: 1` on the pod of the mapped step, and on no other    |

The pool is `gpu` where trainings request a device and `cpu` elsewhere. `gpu` gets as many slots
as there are device slots, unless somebody has set its limit. `AIQC_GPUS_PER_JOB=0` requests none.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from aiqc_core.devices import devices
from aiqc_dagster.executors import kubernetes
from aiqc_dagster.settings import settings

if TYPE_CHECKING:
    import dagster as dg

__all__ = ["limit_pool", "train_pool", "train_tags"]

logger = logging.getLogger(__name__)

EXECUTOR_VARIABLE = "AIQC_EXECUTOR"
ELSEWHERE = {"celery", "k8s"}  # executors whose steps run where this process cannot see devices
GPU_POOL, CPU_POOL = "gpu", "cpu"
DEVICE_TAG = "aiqc/device"  # of a step whose worker leases a device slot
LIMIT_NOTED = "aiqc/limit_of_pool_gpu"  # where Dagster's storage keeps the limit that we set
GPU_QUEUE, DEFAULT_QUEUE = "gpu", "default"
QUEUE_TAG = "dagster-celery/queue"  # the name that dagster-celery reads, too
TIME_LIMIT_TAG = "aiqc/time_limit"


def train_pool() -> str:
    """Return the pool of the step that trains.

    Raises:
        TrainingError: a setting of devices is malformed.
    """
    asks = settings.gpus_per_job > 0
    has = settings.executor in ELSEWHERE or bool(devices.slots())
    return GPU_POOL if asks and has else CPU_POOL


def limit_pool(instance: dg.DagsterInstance) -> None:
    """Give the pool `gpu` as many slots as this machine has device slots.

    Called by runs, not when definitions are loaded. A limit that a person has set stays; one that
    was set here follows the setting.
    """
    slots, storage = len(devices.slots()), instance.event_log_storage
    is_here = settings.executor not in ELSEWHERE
    if not (slots and is_here and storage.supports_global_concurrency_limits):
        return
    known = next((pool for pool in storage.get_pool_limits() if pool.name == GPU_POOL), None)
    noted = instance.run_storage.get_cursor_values({LIMIT_NOTED}).get(LIMIT_NOTED)
    if known is not None and (
        known.limit == slots or (not known.from_default and str(known.limit) != noted)
    ):
        return
    storage.set_concurrency_slots(GPU_POOL, slots)
    instance.run_storage.set_cursor_values({LIMIT_NOTED: str(slots)})
    logger.info("The pool %r has %d slots now, one a device slot.", GPU_POOL, slots)


def train_tags(time_limit: float | None = None) -> dict[str, Any]:
    """Return the tags of the step that trains; each executor reads its own.

    Warm pool, Celery and Kubernetes hold a Job to its time limit, in seconds.
    """
    count = settings.gpus_per_job
    tags: dict[str, Any] = {QUEUE_TAG: GPU_QUEUE if count else DEFAULT_QUEUE}
    if count:
        tags[DEVICE_TAG] = "slot"
    if pod := kubernetes.of_training(count, time_limit):
        tags["dagster-k8s/config"] = json.dumps(pod)
    if time_limit is not None:
        tags[TIME_LIMIT_TAG] = str(time_limit)
    return tags
