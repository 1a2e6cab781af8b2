"""How will carbon dioxide in the air go on? 26 weeks from the year before them.

The data are the weekly means of Mauna Loa, 1958 to 2001, that statsmodels ships, with the weeks
that are missing in them.
"""

from __future__ import annotations

from typing import Any

import pandas as pd


def source() -> pd.DataFrame:
    """Read the 2,284 weeks; a blank where nothing was measured."""
    from statsmodels.datasets import co2

    weekly: Any = co2.load_pandas().data
    return pd.DataFrame({"co2": weekly["co2"].to_numpy(dtype=float)})


def fn_build(features_shape: tuple[int, int], label_shape: tuple[int, int], **hp: Any) -> Any:
    """From one window to the next by a hidden layer."""
    from torch import nn

    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(features_shape[0] * features_shape[1], hp["neurons"]),
        nn.ReLU(),
        nn.Linear(hp["neurons"], label_shape[0] * label_shape[1]),
        nn.Unflatten(1, label_shape),
    )


def fn_lose(**hp: Any) -> Any:
    """Mean squared error."""
    from torch import nn

    del hp
    return nn.MSELoss()


def fn_train(
    model: Any, loser: Any, optimizer: Any, train_features: Any, train_label: Any,
    eval_features: Any, eval_label: Any, **hp: Any,
) -> Any:  # fmt: skip
    """Fit in batches of 8."""
    from aiqc_core.utils.pytorch import fit

    return fit(
        model, loser, optimizer, train_features, train_label, eval_features, eval_label,
        epochs=hp["epochs"], batch_size=8,
    )  # fmt: skip
