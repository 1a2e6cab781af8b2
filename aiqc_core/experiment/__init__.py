"""The declaration of an experiment: what is learned from which data, and how.

A declaration is a value: making one reads and writes nothing. `Experiment.run` walks it through
the metastore; `aiqc_core.declaration` reads the same from YAML.
"""

from __future__ import annotations

from aiqc_core.experiment.automation import Promotion
from aiqc_core.experiment.experiment import Experiment, Labelled
from aiqc_core.experiment.pipeline import FeatureEncoder, Interpolation, Pipeline, Windowing
from aiqc_core.experiment.training import Training

__all__ = [
    "Experiment",
    "FeatureEncoder",
    "Interpolation",
    "Labelled",
    "Pipeline",
    "Promotion",
    "Training",
    "Windowing",
]
