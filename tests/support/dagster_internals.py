"""Every name of Dagster's private modules that tests use, beside those that the code uses."""

from __future__ import annotations

from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.execution.api import create_execution_plan
from dagster._core.execution.plan.outputs import StepOutputHandle
from dagster._core.execution.plan.state import KnownExecutionState
from dagster._core.origin import RepositoryPythonOrigin
from dagster._core.storage.defs_state.base import set_defs_state_storage
from dagster._utils.schedules import is_valid_cron_schedule

__all__ = [
    "KnownExecutionState", "ModuleCodePointer", "RepositoryPythonOrigin", "StepOutputHandle",
    "create_execution_plan", "is_valid_cron_schedule", "set_defs_state_storage",
]  # fmt: skip
