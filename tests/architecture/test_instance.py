"""The shipped configuration of Dagster's instance is what the installed Dagster reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster import DagsterInstance

if TYPE_CHECKING:
    from pathlib import Path


def test_the_shipped_instance_loads_and_keeps_its_promises(dagster_home: Path) -> None:
    with DagsterInstance.get() as instance:
        assert instance.root_directory == str(dagster_home)
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_settings["free_slots_after_run_end_seconds"] > 0
        concurrency = instance.get_concurrency_config()
        assert concurrency.pool_config.pool_granularity is not None
        assert concurrency.pool_config.pool_granularity.value == "op"
        assert concurrency.pool_config.default_pool_limit == 16
        assert concurrency.run_queue_config is not None
        assert concurrency.run_queue_config.max_concurrent_runs == 2


def test_an_unconfigured_pool_gets_the_default_limit(dagster_home: Path) -> None:
    with DagsterInstance.get() as instance:
        instance.event_log_storage.initialize_concurrency_limit_to_default("device")
        info = instance.event_log_storage.get_concurrency_info("device")
        assert (info.slot_count, info.using_default_limit) == (16, True)
        assert dagster_home.joinpath("history").is_dir()
