"""Resources of assets and ops: the store, and the cache of samples."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from aiqc_core import config
from aiqc_core.errors import NotFoundError
from aiqc_core.experiment import workflow
from aiqc_core.orm import Champion, Dataset, clear_cache_all

if TYPE_CHECKING:
    from pathlib import Path

REQUIRED = {"metastore", "cache"}  # what a step needs that reads or writes rows


class MetastoreResource(dg.ConfigurableResource[None]):
    """The store of all rows; its processes find it by `AIQC_HOME`.

    An asset of your own asks it for the model in use:

        @dg.asset(deps=[dg.AssetKey(["breast_cancer", "champion"])])
        def triage(metastore: MetastoreResource) -> None:
            metastore.champion("breast_cancer").predictor.predict(new_rows)
    """

    home: str = Field(
        default="",
        description="Folder of the store; `AIQC_HOME`, or `.aiqc` in the working directory, if "
        "empty.",
    )

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Point this process, and those it starts, to the store."""
        del context
        if self.home:
            os.environ[config.HOME_VARIABLE] = self.home

    def champion(self, experiment: str) -> Champion:
        """Return the promotion that is in force in an experiment.

        Raises:
            NotFoundError: nothing was promoted yet.
        """
        return workflow.champion(experiment)

    def dataset(self, name: str) -> Dataset:
        """Return the newest version of a Dataset.

        Raises:
            NotFoundError: no Dataset has that name.
        """
        rows: Any = Dataset.select().where(Dataset.name == name)
        found = rows.order_by(Dataset.version.desc()).first()
        if found is None:
            raise NotFoundError(f"Dataset: none is named {name!r}.")
        return found


class CacheResource(dg.ConfigurableResource[None]):
    """The folder of preprocessed samples; its processes find it by `AIQC_CACHE`."""

    folder: str = Field(
        default="",
        description="Folder of the cache; `AIQC_CACHE`, or `cache` in the store, if empty. It can "
        "be deleted: samples are built again.",
    )

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Point this process, and those it starts, to the cache."""
        del context
        if self.folder:
            os.environ[config.CACHE_VARIABLE] = self.folder

    def path(self) -> Path:
        """Return the folder of the samples of all Splitsets."""
        return config.samples_path()

    def size_bytes(self) -> int:
        """Return how much the cache holds."""
        return sum(file.stat().st_size for file in self.path().rglob("*") if file.is_file())

    def clear(self) -> None:
        """Delete all of it."""
        clear_cache_all()


def handed_on() -> dict[str, dg.FilesystemIOManager]:
    """Return the IO manager of step outputs: beside the artifacts, where these are shared.

    Steps on several machines share no folder. Outputs are small: names of Jobs and ids of rows.
    """
    artifacts = config.settings.artifacts
    if artifacts is None:
        return {}
    return {"io_manager": dg.FilesystemIOManager(base_dir=f"{artifacts.rstrip('/')}/steps")}
