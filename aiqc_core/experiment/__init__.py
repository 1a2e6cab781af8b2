"""The declaration of an experiment: what is learned from which data, and how.

A declaration is a value: making one reads and writes nothing. `Experiment.run` walks it through
the metastore; `aiqc_core.experiment.declaration` reads the same from YAML.
"""

from __future__ import annotations

from aiqc_core.experiment.model.automation import Promotion
from aiqc_core.experiment.model.experiment import Experiment, Labelled
from aiqc_core.experiment.model.pipeline import FeatureEncoder, Interpolation, Pipeline, Windowing
from aiqc_core.experiment.model.training import Training

__all__ = [
    "Experiment", "FeatureEncoder", "Interpolation", "Labelled", "Pipeline", "Promotion",
    "Training", "Windowing",
]  # fmt: skip
