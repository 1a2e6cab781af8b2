"""How steps run, chosen in one place by `AIQC_EXECUTOR`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import dagster as dg

from aiqc_core.errors import TrainingError
from aiqc_dagster.executors import kubernetes
from aiqc_dagster.executors.gpu import EXECUTOR_VARIABLE
from aiqc_dagster.executors.warm_pool import warm_pool_executor
from aiqc_dagster.settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable

# A step's process is a fork of a server that has imported our own packages, and no user's code,
# instead of an interpreter that imports all of them again.
_PRELOADED = ["aiqc_dagster.build.experiment", "sklearn.preprocessing"]
_START = {"start_method": {"forkserver": {"preload_modules": _PRELOADED}}}


def chosen() -> dg.ExecutorDefinition:
    """Return the executor that the environment names; warm worker processes by default.

    Raises:
        TrainingError: an unknown name, or an executor whose package is not installed.
    """
    name = settings.executor
    if name not in EXECUTORS:
        raise TrainingError(f"{EXECUTOR_VARIABLE}={name!r} is none of {', '.join(EXECUTORS)}.")
    return EXECUTORS[name]()


def _with_defaults(
    name: str, executor: dg.ExecutorDefinition, defaults: dict[str, Any]
) -> dg.ExecutorDefinition:
    # By a function, so that run config can still say what it wants, and wins.
    return executor.configured(
        lambda config: defaults | config,
        config_schema=executor.config_schema.as_field(),
        name=name,
    )


def _installed(module: str, attribute: str, extra: str) -> dg.ExecutorDefinition:
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise TrainingError(
            f"{EXECUTOR_VARIABLE}={extra!r} needs {error.name}, which is not installed. Run: "
            f"pip install 'aiqc-dagster[{extra}]'"
        ) from error


EXECUTORS: dict[str, Callable[[], dg.ExecutorDefinition]] = {
    "warm_pool": lambda: warm_pool_executor,
    "in_process": lambda: dg.in_process_executor,
    "multiprocess": lambda: _with_defaults("multiprocess", dg.multiprocess_executor, _START),
    "celery": lambda: _installed(
        "aiqc_dagster.executors.celery.executor", "celery_executor", "celery"
    ),
    "k8s": lambda: _with_defaults(
        "k8s",
        _installed("dagster_k8s", "k8s_job_executor", "k8s"),
        kubernetes.executor_config(),
    ),
}
