"""Callbacks for Keras: `aiqc_core.utils.tensorflow.TrainingCallback`."""

from __future__ import annotations

from aiqc_core.train.tensorflow_callbacks import TrainingCallback

__all__ = ["TrainingCallback"]
