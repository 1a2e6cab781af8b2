"""A trained model of any label and coder: how many rows err does not matter, that some do does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from aiqc_core.orm import Algorithm, Dataset, Feature, Label, LabelCoder, Queue, Splitset

ROWS = 90


def frame(values: list[Any], rows: int = ROWS) -> pd.DataFrame:
    """A number that half tells the class, and the class `y`."""
    rng = np.random.default_rng(3)
    codes = np.arange(rows) % len(values)
    x = codes + rng.normal(size=rows)
    return pd.DataFrame({"x": x, "z": rng.normal(size=rows), "y": [values[i] for i in codes]})


def hot(values: list[str], rows: int = ROWS) -> pd.DataFrame:
    """The same, with a column for each class."""
    given = frame(values, rows)
    flags = {name: (given["y"] == name).astype(int) for name in values}
    return pd.DataFrame({"x": given["x"], "z": given["z"], **flags})


def fn_build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    """Logistic regression, of as many outputs as there are."""
    from torch import nn

    last = nn.Sigmoid() if label_shape[0] == 1 else nn.Softmax(dim=1)
    return nn.Sequential(nn.Linear(features_shape[0], label_shape[0]), last)


def fn_train(
    model: Any, loser: Any, optimizer: Any, x: Any, y: Any, eval_x: Any, eval_y: Any, **hp: Any
) -> Any:
    """A few epochs."""
    from aiqc_core.utils.pytorch import fit

    return fit(model, loser, optimizer, x, y, eval_x, eval_y, epochs=8, batch_size=16)


def queue(
    data: pd.DataFrame, coder: Any, *, analysis: str = "classification_multi", **about: Any
) -> Queue:
    """Declare a Queue, row by row; every column but `x`, `z` and `id` is the label."""
    dataset = Dataset.Tabular.from_df(data)
    columns = [name for name in data.columns if name not in {"x", "z", "id"}]
    feature = Feature.from_dataset(dataset.id, include_columns=["x", "z"])
    label = Label.from_dataset(dataset.id, columns, **about)
    if coder is not None:
        LabelCoder.from_label(label.id, coder)
    splitset = Splitset.make([feature.id], label.id, size_test=0.3, seed=1)
    algorithm = Algorithm.make("pytorch", analysis, fn_build, fn_train)
    return Queue.from_algorithm(algorithm.id, splitset.id, permute_count=0, seed=1)


def trained(data: pd.DataFrame, coder: Any, **about: Any) -> Queue:
    """The same, trained."""
    made = queue(data, coder, **about)
    made.run_jobs(progress=False)
    return made
