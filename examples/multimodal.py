"""Pictures and a table together: one model with two features of two kinds.

    python examples/multimodal.py

Scikit-learn's digits are seen as pictures, and beside each lies a row of numbers that says how
much ink is in its four corners. The model learns from both, and predicts new pairs the same way.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from aiqc_core.orm import *


def fn_build(features_shape, label_shape, **hp):
    """A small network a feature, joined before the last layer."""
    import torch
    from torch import nn

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            pixels = int(np.prod(features_shape[0]))
            self.picture = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 32), nn.ReLU())
            self.table = nn.Sequential(nn.Linear(features_shape[1][0], 8), nn.ReLU())
            self.last = nn.Linear(40, label_shape[0])

        def forward(self, picture, table):
            return self.last(torch.cat([self.picture(picture), self.table(table)], dim=1))

    return Both()


def fn_train(
    model, loser, optimizer, train_features, train_label, eval_features, eval_label, **hp
):
    from aiqc_core.utils.pytorch import fit

    return fit(
        model, loser, optimizer, train_features, train_label, eval_features, eval_label,
        epochs=15, batch_size=32,
    )  # fmt: skip


def main():
    digits = load_digits()
    pictures = (digits.images / 16.0).astype("float32")[
        :, None
    ]  # samples, channels, rows, columns
    corners = [(slice(0, 4), slice(0, 4)), (slice(0, 4), slice(4, 8)),
               (slice(4, 8), slice(0, 4)), (slice(4, 8), slice(4, 8))]  # fmt: skip
    ink = pd.DataFrame(
        {f"corner_{i}": digits.images[:, rows, cols].sum(axis=(1, 2))
         for i, (rows, cols) in enumerate(corners)}
    ).assign(digit=digits.target)  # fmt: skip

    image = Feature.from_dataset(Dataset.Image.from_numpy(pictures).id)
    table = Dataset.Tabular.from_df(ink)
    numbers = Feature.from_dataset(table.id, exclude_columns=["digit"])
    FeatureCoder.from_feature(numbers.id, StandardScaler())
    label = Label.from_dataset(table.id, "digit")
    LabelCoder.from_label(label.id, OrdinalEncoder())
    splitset = Splitset.make(
        [image.id, numbers.id], label.id, size_test=0.2, size_validation=0.2, seed=1
    )
    algorithm = Algorithm.make("pytorch", "classification_multi", fn_build, fn_train)
    queue = Queue.from_algorithm(algorithm.id, splitset.id, permute_count=1, seed=1)
    queue.run_jobs()
    print(queue.metrics_df()[["split", "accuracy", "roc_auc"]])

    predictor = queue.jobs[0].predictors[0]
    said = predictor.predict([pictures[:3], ink.drop(columns="digit")[:3]])
    print(said["digit"].tolist(), "are", digits.target[:3].tolist())


if __name__ == "__main__":
    main()
