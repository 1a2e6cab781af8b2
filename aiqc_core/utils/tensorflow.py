"""Callbacks for Keras: `aiqc_core.utils.tensorflow.TrainingCallback`."""

from __future__ import annotations

from aiqc_core.stages.train.backends.keras.callbacks import TrainingCallback

__all__ = ["TrainingCallback"]
