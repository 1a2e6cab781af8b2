"""`ExperimentComponent`: a folder with `defs.yaml` and one Python file is an experiment."""

from __future__ import annotations

from typing import Any

import dagster as dg
from pydantic import BaseModel, ConfigDict, Field

from aiqc_core.experiment import declaration
from aiqc_dagster.build import invalid
from aiqc_dagster.build.experiment import of_experiment


class ExperimentComponent(dg.Component, dg.Model, dg.Resolvable):
    """An experiment whose attributes are those of `aiqc_core.experiment.Experiment`.

    Encoders and functions are named by import path, files and modules relative to the folder.
    The fields are open here: a wrong value would stop the whole code location. `build_defs` looks
    at them, and shows what is wrong as the asset `<folder>/faulty`. Templates (`{{ … }}`) are left
    as they are.
    """

    model_config = ConfigDict(extra="allow")

    name: Any = Field(None, description="Lower-case letters, digits, underscores; names assets.")
    description: Any = Field(None, description="What is asked, for people.")
    source: Any = Field(None, description="'.functions:source', or a csv, tsv or parquet file.")
    pipeline: Any = Field(None, description="From the source to samples: label, encoders, splits.")
    training: Any = Field(None, description="From samples to models: functions, hyperparameters.")

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """Return the schema of the attributes: these fields, and any other."""
        return cls

    @classmethod
    def load(
        cls, attributes: BaseModel | None, context: dg.ComponentLoadContext
    ) -> ExperimentComponent:
        """Take the attributes as they are."""
        del context
        return cls(**({} if attributes is None else attributes.model_dump(exclude_unset=True)))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return the experiment's assets, checks, jobs, schedule and sensors, or its faults."""
        path = context.component_path
        folder = path.file_path.parent if path.file_path.suffix else path.file_path
        document = path.instance_key if isinstance(path.instance_key, int) else 0
        file = folder / "defs.yaml"
        if file.is_file():
            experiment, faults = declaration.examine(file, document=document)
        elif misnamed := list(declaration.find_misnamed(folder)):
            return invalid.build(invalid.key_of(folder, context.defs_module_path), misnamed)
        else:  # made in Python
            values = self.model_dump(exclude_unset=True)
            experiment, faults = declaration.of_values(values, folder)
        if experiment is None or faults:
            key = invalid.key_of(folder, context.defs_module_path, document)
            return invalid.build(key, faults)
        return of_experiment(experiment)
