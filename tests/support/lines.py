"""Queues whose scores are known beforehand: `y = 2x`, and a model that says `weight * x`.

Nothing is learned. R² of the model is 1 - (weight - 2)² Σx² / Σ(2x - mean)², and with it the order
of combinations is certain: the nearer to 2, the better.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from aiqc_core.orm import Algorithm, Dataset, Feature, Hyperparamset, Label, Queue, Splitset

X = np.linspace(-1, 1, 60)
FOLDS = 3


def fn_build(features_shape: tuple[int], label_shape: tuple[int], **hp: Any) -> Any:
    """Say `weight * x`, or nan, or complain."""
    import torch
    from torch import nn

    if hp.get("fails"):
        message = f"cannot build with {hp}"
        raise RuntimeError(message)
    model = nn.Linear(features_shape[0], label_shape[0], bias=False)
    torch.nn.init.constant_(model.weight, float(hp["weight"] or "nan"))
    return model


def fn_train(
    model: Any, loser: Any, optimizer: Any, train_features: Any, train_label: Any,
    eval_features: Any, eval_label: Any, **hp: Any,
) -> Any:  # fmt: skip
    """Report the loss for a number of epochs, as long as the observer lets it; learn nothing."""
    import time

    from aiqc_core.stages.train.hooks import observer

    if "log" in hp:
        with open(hp["log"], "a") as lines:  # noqa: PTH123
            lines.write(f"{hp['weight']}\n")
    time.sleep(hp.get("sleep", 0))
    history: dict[str, list[float]] = {"loss": []}
    loss = loser(model(train_features), train_label).item()
    looking_on = observer.active()
    for _ in range(hp.get("epochs", 1)):
        history["loss"].append(loss)
        if looking_on is not None and looking_on.epoch(history):
            break
    return history, model


def splitset(**cut: Any) -> Splitset:
    """Make a splitset of the line; three folds by default."""
    dataset = Dataset.Tabular.from_df(pd.DataFrame({"x": X, "y": 2 * X}))
    feature = Feature.from_dataset(dataset.id, ["x"])
    label = Label.from_dataset(dataset.id, "y")
    options = {"size_test": 0.2, "fold_count": FOLDS, "seed": 1, "bin_count": 3}
    return Splitset.make([feature.id], label.id, **{**options, **cut})


def queue(
    hyperparameters: dict[str, Any],
    search: dict[str, Any] | None = None,
    cut: dict[str, Any] | None = None,
    train: Any = fn_train,
    **options: Any,
) -> Queue:
    """Make a queue over the line."""
    algorithm = Algorithm.make("pytorch", "regression", fn_build, train)
    combos = Hyperparamset.from_algorithm(
        algorithm.id, hyperparameters, **{"seed": 5, **(search or {})}
    )
    return Queue.from_algorithm(
        algorithm.id, splitset(**(cut or {})).id, hyperparamset_id=combos.id,
        **{"permute_count": 0, "seed": 3, **options},
    )  # fmt: skip


def tried(of: Queue) -> list[dict[str, Any]]:
    """Return the combinations of a queue in the order of their Jobs."""
    found = {job.hyperparamcombo_id: job.hyperparameters for job in of.jobs}
    return list(found.values())


def predictions(of: Queue) -> dict[tuple[str, int], Any]:
    """Return the test predictions by Job and repeat."""
    return {
        (job.key, p.repeat_index): p.predictions[0].predictions["test"].tolist()
        for job in of.jobs
        for p in job.predictors
    }
