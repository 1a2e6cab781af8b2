"""The object-relational model: every table of the reference, over one SQLite metastore."""

from __future__ import annotations

from aiqc_core.orm.samples.cache import clear_cache_all
from aiqc_core.orm.store.database import metastore
from aiqc_core.orm.store.model import BaseModel
from aiqc_core.orm.store.signing import trust
from aiqc_core.orm.tables.algorithm import Algorithm
from aiqc_core.orm.tables.champion import Champion
from aiqc_core.orm.tables.coder import FeatureCoder, LabelCoder
from aiqc_core.orm.tables.dataset import Dataset
from aiqc_core.orm.tables.feature import Feature
from aiqc_core.orm.tables.hyperparameter import Hyperparamcombo, Hyperparamset
from aiqc_core.orm.tables.interpolater import FeatureInterpolater, LabelInterpolater
from aiqc_core.orm.tables.job import Attempt, Job
from aiqc_core.orm.tables.label import Label
from aiqc_core.orm.tables.prediction import Prediction
from aiqc_core.orm.tables.predictor import Predictor
from aiqc_core.orm.tables.queue import Queue
from aiqc_core.orm.tables.schema import SCHEMA_VERSION
from aiqc_core.orm.tables.shaper import FeatureShaper
from aiqc_core.orm.tables.snapshot import Declared, Snapshot
from aiqc_core.orm.tables.splitset import Fold, Splitset
from aiqc_core.orm.tables.window import Window
from aiqc_core.stages.train.search.pruning import MedianPruner

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
