"""Which digit is written? 1,797 images of 8 × 8 pixels.

The data are the test part of the UCI set of optical recognition of handwritten digits that
scikit-learn ships.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from aiqc_core.experiment import Labelled

BRIGHTEST = 16.0


def source() -> Labelled:
    """Read the images, one channel each, and their digits."""
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    pixels = bunch.images[:, None].astype(np.uint8)
    return Labelled(pixels, pd.DataFrame({"digit": bunch.target.astype("int64")}))


def to_unit(pixels: Any) -> Any:
    """Bring brightness to [0, 1]; its range is known, so nothing is learned."""
    return np.asarray(pixels, dtype=np.float64) / BRIGHTEST


def from_unit(values: Any) -> Any:
    """Undo `to_unit`."""
    return np.asarray(values) * BRIGHTEST


def fn_build(features_shape: tuple[int, ...], label_shape: tuple[int], **hp: Any) -> Any:
    """One convolution, and a probability for each digit."""
    from torch import nn

    channels, rows, columns = features_shape
    return nn.Sequential(
        nn.Conv2d(channels, hp["filters"], kernel_size=3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(hp["filters"] * (rows - 2) * (columns - 2), label_shape[0]),
        nn.Softmax(dim=1),
    )


def fn_train(
    model: Any, loser: Any, optimizer: Any, train_features: Any, train_label: Any,
    eval_features: Any, eval_label: Any, **hp: Any,
) -> Any:  # fmt: skip
    """Fit in batches of 64."""
    from aiqc_core.utils.pytorch import fit

    return fit(
        model, loser, optimizer, train_features, train_label, eval_features, eval_label,
        epochs=hp["epochs"], batch_size=64,
    )  # fmt: skip
