"""Which of three gestures does a wrist sensor feel? 240 recordings of 40 steps.

The data are generated: no package that ships recorded sequences installs beside pandas 3.1. Each
gesture turns about other axes at its own pace, with noise, a random start, and steps lost by the
sensor.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from aiqc_core.experiment import Labelled

RECORDINGS, STEPS, AXES = 240, 40, 3
# Of each gesture: turns a recording, and the strength along each axis.
GESTURES = {
    "circle": (2.0, (1.0, 1.0, 0.1)),
    "shake": (6.0, (1.5, 0.2, 0.2)),
    "wave": (3.0, (0.2, 0.8, 0.8)),
}
NOISE, LOST = 0.5, 0.02


def source() -> Labelled:
    """Generate the recordings, the same every time, and name their gestures."""
    generator = np.random.default_rng(11)
    names = sorted(GESTURES)
    kinds = np.arange(RECORDINGS) % len(names)
    time = np.linspace(0.0, 1.0, STEPS)
    values = np.empty((RECORDINGS, STEPS, AXES))
    for i, kind in enumerate(kinds):
        turns, strength = GESTURES[names[kind]]
        phases = generator.uniform(0, 2 * np.pi) + np.array([0.0, np.pi / 2, np.pi / 4])
        values[i] = np.sin(2 * np.pi * turns * time[:, None] + phases) * strength
    values += generator.normal(scale=NOISE, size=values.shape)
    values[generator.random(values.shape) < LOST] = np.nan
    return Labelled(values, pd.DataFrame({"gesture": [names[kind] for kind in kinds]}))


def fn_build(features_shape: tuple[int, int], label_shape: tuple[int], **hp: Any) -> Any:
    """One convolution over time, its mean, and a probability for each gesture."""
    from torch import nn

    return nn.Sequential(
        nn.Conv1d(features_shape[0], hp["filters"], kernel_size=5),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(4),
        nn.Flatten(),
        nn.Linear(hp["filters"] * 4, label_shape[0]),
        nn.Softmax(dim=1),
    )


def fn_train(
    model: Any, loser: Any, optimizer: Any, train_features: Any, train_label: Any,
    eval_features: Any, eval_label: Any, **hp: Any,
) -> Any:  # fmt: skip
    """Fit in batches of 16."""
    from aiqc_core.utils.pytorch import fit

    return fit(
        model, loser, optimizer, train_features, train_label, eval_features, eval_label,
        epochs=hp["epochs"], batch_size=16,
    )  # fmt: skip
