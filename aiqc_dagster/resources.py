"""What assets and ops need from outside: the metastore."""

from __future__ import annotations

import os

import dagster as dg
from pydantic import Field

from aiqc_core import config


class MetastoreResource(dg.ConfigurableResource[None]):
    """The store in which every row lies; its processes find it by `AIQC_HOME`."""

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
