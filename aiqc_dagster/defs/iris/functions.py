"""Which of three species is an iris? Four measurements of 150 flowers.

The data are Fisher's set that scikit-learn ships.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def source() -> pd.DataFrame:
    """Read the 150 rows; the species as a word."""
    from sklearn.datasets import load_iris

    bunch: Any = load_iris(as_frame=True)
    names = dict(enumerate(bunch.target_names))
    return bunch.data.assign(species=bunch.target.map(names))


def fn_build(features_shape: tuple[int], label_shape: tuple[int], **hp: Any) -> Any:
    """One hidden layer, and a probability for each species."""
    import keras

    return keras.Sequential(
        [
            keras.layers.Input(features_shape),
            keras.layers.Dense(hp["neurons"], activation="relu"),
            keras.layers.Dense(label_shape[0], activation="softmax"),
        ]
    )


def fn_train(
    model: Any, loser: Any, optimizer: Any, train_features: Any, train_label: Any,
    eval_features: Any, eval_label: Any, **hp: Any,
) -> Any:  # fmt: skip
    """Fit in batches of 16."""
    model.compile(loss=loser, optimizer=optimizer, metrics=["accuracy"])
    model.fit(
        train_features,
        train_label,
        validation_data=(eval_features, eval_label),
        epochs=hp["epochs"],
        batch_size=16,
        verbose=0,
    )
    return model
