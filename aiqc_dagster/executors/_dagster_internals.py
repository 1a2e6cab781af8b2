"""Every name that Dagster does not promise and this project uses: check them at each release."""

# ruff: noqa: F401 - other modules import them from here
# pyright: reportUnusedImport=false

from __future__ import annotations

from dagster._cli.api import (
    _execute_step_command_body as execute_step,  # pyright: ignore[reportPrivateUsage]
)
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.errors import DagsterImportError
from dagster._core.events import EngineEventData
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.plan.step import UnresolvedMappedExecutionStep
from dagster._core.execution.retries import RetryMode, get_retries_config
from dagster._core.execution.tags import get_tag_concurrency_limits_config
from dagster._core.executor.step_delegating import (
    CheckStepHealthResult,
    StepDelegatingExecutor,
    StepHandler,
    StepHandlerContext,
)
from dagster._core.instance import InstanceRef
from dagster._core.origin import JobPythonOrigin
from dagster._grpc.types import ExecuteStepArgs
from dagster._serdes import deserialize_value, serialize_value
from dagster._utils.hosted_user_process import recon_job_from_origin
from dagster._utils.interrupts import capture_interrupts, check_captured_interrupt
from dagster.components.core.decl import build_filesystem_component_decl_from_context
from dagster.components.core.defs_module import ComponentPath
