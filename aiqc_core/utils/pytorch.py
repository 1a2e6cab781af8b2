"""Training PyTorch models without a loop of one's own: `aiqc_core.utils.pytorch.fit`."""

from __future__ import annotations

from aiqc_core.stages.train.backends.torch.callbacks import TrainingCallback
from aiqc_core.stages.train.backends.torch.fit import fit

__all__ = ["TrainingCallback", "fit"]
