"""Settings of Dagster's side, beside those of the core: also variables of the environment."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from aiqc_core import config


class Settings(config.Settings):
    """Where steps run and how many, and where failed runs are sent."""

    blank_counts: ClassVar[frozenset[str]] = frozenset({"gpu_toleration"})

    executor: str = Field(
        "warm_pool", title="warm_pool, in_process, multiprocess, celery or k8s",
        description="How the steps of a run are executed; the last two with their extras.",
    )  # fmt: skip
    workers: int | None = Field(
        None, ge=1, title="a whole number of at least 1",
        description="Most worker processes of a run; by default the number of cores.",
    )  # fmt: skip
    notify_url: str = Field(
        "", repr=False, title="http(s) address", description="Where failed runs are sent as JSON."
    )
    celery_broker: str = Field(
        "redis://localhost:6379/0", repr=False, title="URL", description="Celery's Redis."
    )
    celery_backend: str | None = Field(
        None, repr=False, title="URL", description="Results of Celery; by default in the broker."
    )
    celery_patience: float = Field(
        60, gt=0, title="a number of seconds above 0",
        description="How long a run waits for a broker, a worker or a queue that is silent.",
    )  # fmt: skip
    gpu_node_selector: str = Field(
        "", title="key=value, several by commas", description="Labels of the nodes with a device."
    )
    gpu_toleration: str = Field(
        "nvidia.com/gpu", title="key[=value][:effect], several by commas",
        description="Taints of the nodes with a device; a blank text tolerates none.",
    )  # fmt: skip
    k8s_namespace: str = Field("", title="name", description="Where the pods of steps are made.")
    k8s_image: str = Field("", title="image", description="Of the pods; by default the run's.")
    k8s_pull_policy: str = Field(
        "", title="Always, IfNotPresent or Never", description="When pods pull their image."
    )
    k8s_service_account: str = Field("", title="name", description="Account that pods run under.")
    k8s_env_secrets: str = Field(
        "", title="names, several by commas", description="Secrets: each key becomes a variable."
    )
    k8s_env_config_maps: str = Field(
        "",
        title="names, several by commas",
        description="ConfigMaps: each key becomes a variable.",
    )
    k8s_max_concurrent: int | None = Field(
        None, ge=1, title="a whole number from 1",
        description="Most pods of one run at a time; no bound by default.",
    )  # fmt: skip


settings = Settings.model_construct()
