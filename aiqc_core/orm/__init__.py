"""The object-relational model: every table of the reference, over one SQLite metastore."""

from __future__ import annotations

from aiqc_core.orm.algorithm import Algorithm
from aiqc_core.orm.base import BaseModel
from aiqc_core.orm.champion import Champion
from aiqc_core.orm.database import metastore
from aiqc_core.orm.dataset import Dataset
from aiqc_core.orm.encode import FeatureCoder, LabelCoder
from aiqc_core.orm.feature import Feature
from aiqc_core.orm.hyperparameter import Hyperparamcombo, Hyperparamset
from aiqc_core.orm.interpolate import FeatureInterpolater, LabelInterpolater
from aiqc_core.orm.job import Attempt, Job
from aiqc_core.orm.label import Label
from aiqc_core.orm.prediction import Prediction
from aiqc_core.orm.predictor import Predictor
from aiqc_core.orm.queue import Queue
from aiqc_core.orm.schema import SCHEMA_VERSION
from aiqc_core.orm.shape import FeatureShaper
from aiqc_core.orm.signing import trust
from aiqc_core.orm.snapshot import Declared, Snapshot
from aiqc_core.orm.splitset import Fold, Splitset, clear_cache_all
from aiqc_core.orm.window import Window
from aiqc_core.train.pruning import MedianPruner

__all__ = [
    "SCHEMA_VERSION",
    "Algorithm",
    "Attempt",
    "BaseModel",
    "Champion",
    "Dataset",
    "Declared",
    "Feature",
    "FeatureCoder",
    "FeatureInterpolater",
    "FeatureShaper",
    "Fold",
    "Hyperparamcombo",
    "Hyperparamset",
    "Job",
    "Label",
    "LabelCoder",
    "LabelInterpolater",
    "MedianPruner",
    "Prediction",
    "Predictor",
    "Queue",
    "Snapshot",
    "Splitset",
    "Window",
    "clear_cache_all",
    "metastore",
    "trust",
]
