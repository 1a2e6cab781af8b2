"""What executors share that delegate steps to other processes and follow Dagster's event log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

import aiqc_dagster.executors._dagster_internals as internals
from aiqc_dagster.executors.gpu import TIME_LIMIT_TAG

if TYPE_CHECKING:
    from collections.abc import Mapping

HEALTH_SECONDS = 1  # between two looks at the steps that run


def config_schema(max_concurrent: str) -> dict[str, Any]:
    """Return the schema of an executor's config, with this description of `max_concurrent`."""
    return {
        "max_concurrent": dg.Field(
            dg.Noneable(int), default_value=None, description=max_concurrent
        ),
        "tag_concurrency_limits": internals.get_tag_concurrency_limits_config(),
        "retries": internals.get_retries_config(),
    }


def settings(init_context: dg.InitExecutorContext) -> dict[str, Any]:
    """Return what config of this schema gives a `StepDelegatingExecutor`."""
    config: dict[str, Any] = dict(init_context.executor_config)
    return {
        "max_concurrent": config.get("max_concurrent"),
        "tag_concurrency_limits": config.get("tag_concurrency_limits"),
        "retries": internals.RetryMode.from_config(config["retries"])
        or internals.RetryMode.ENABLED,
        "check_step_health_interval_seconds": HEALTH_SECONDS,
    }


def step_of(context: internals.StepHandlerContext) -> tuple[str, Mapping[str, str], float | None]:
    """Return the key, the tags and the time limit in seconds of the step to launch."""
    (step_key,) = context.execute_step_args.step_keys_to_execute or ("",)  # always one
    tags = context.step_tags[step_key]
    limit = tags.get(TIME_LIMIT_TAG)
    return step_key, tags, float(limit) if limit else None


def attempt_key(context: internals.StepHandlerContext) -> str:
    """Name one attempt of a step: a retry can start before the attempt before is reported."""
    step_key, known = step_of(context)[0], context.execute_step_args.known_state
    attempts = known.get_retry_state().get_attempt_count(step_key) if known else 0
    return f"{step_key} attempt {attempts + 1}"


class DelegatedSteps(internals.StepHandler):
    """Report a step that has ended although the event log has no end of it."""

    def __init__(self) -> None:
        self._suspects: set[str] = set()

    def end_of(self, key: str) -> str | None:
        """Return why an attempt has ended; None while it waits or runs."""
        raise NotImplementedError

    def check_step_health(
        self, step_handler_context: internals.StepHandlerContext
    ) -> internals.CheckStepHealthResult:
        """Report an ended step at the second look: by then Dagster has read the whole log."""
        key = attempt_key(step_handler_context)
        reason = self.end_of(key)
        if reason is None:
            self._suspects.discard(key)
        elif key in self._suspects:
            return internals.CheckStepHealthResult.unhealthy(reason)
        else:
            self._suspects.add(key)
        return internals.CheckStepHealthResult.healthy()
