"""How far has diabetes progressed after a year? Ten measurements of 442 patients.

The data are the set of Efron et al. (2004), "Least Angle Regression", that scikit-learn ships.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def source() -> pd.DataFrame:
    """Read the 442 rows in their original units."""
    from sklearn.datasets import load_diabetes

    bunch: Any = load_diabetes(as_frame=True, scaled=False)
    return bunch.data.assign(progression=bunch.target)


def fn_build(features_shape: tuple[int], label_shape: tuple[int], **hp: Any) -> Any:
    """One hidden layer with dropout."""
    from torch import nn

    return nn.Sequential(
        nn.Linear(features_shape[0], hp["neurons"]),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(hp["neurons"], label_shape[0]),
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
    """Fit in batches of 32."""
    from aiqc_core.utils.pytorch import fit

    return fit(
        model, loser, optimizer, train_features, train_label, eval_features, eval_label,
        epochs=hp["epochs"], batch_size=32,
    )  # fmt: skip
