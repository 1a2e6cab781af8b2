"""Is a tumour malignant or benign? 30 measurements of 569 cell nuclei images.

The data are the Breast Cancer Wisconsin (Diagnostic) set that scikit-learn ships.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.preprocessing import LabelBinarizer, StandardScaler

from aiqc_core.experiment import Experiment, FeatureEncoder, Pipeline, Training

if TYPE_CHECKING:
    import pandas as pd


def source() -> pd.DataFrame:
    """Read the 569 rows; the diagnosis as a word."""
    from sklearn.datasets import load_breast_cancer

    bunch: Any = load_breast_cancer(as_frame=True)
    names = dict(enumerate(bunch.target_names))
    return bunch.data.assign(diagnosis=bunch.target.map(names))


def fn_build(features_shape: tuple[int], label_shape: tuple[int], **hp: Any) -> Any:
    """One hidden layer, and the probability of the second class."""
    from torch import nn

    return nn.Sequential(
        nn.Linear(features_shape[0], hp["neurons"]),
        nn.ReLU(),
        nn.Linear(hp["neurons"], label_shape[0]),
        nn.Sigmoid(),
    )


def fn_optimize(model: Any, **hp: Any) -> Any:
    """Adam with the combination's learning rate."""
    from torch import optim

    return optim.Adam(model.parameters(), lr=hp["learning_rate"])


def fn_train(
    model: Any, loser: Any, optimizer: Any, train_features: Any, train_label: Any,
    eval_features: Any, eval_label: Any, **hp: Any,
) -> Any:  # fmt: skip
    """30 epochs in batches of 32."""
    from torchmetrics import Accuracy

    from aiqc_core.utils.pytorch import fit

    return fit(
        model, loser, optimizer, train_features, train_label, eval_features, eval_label,
        epochs=hp["epochs"], batch_size=32, metrics=[Accuracy(task="binary")],
    )  # fmt: skip


EXPERIMENT = Experiment(
    name="breast_cancer",
    description="Is a tumour malignant or benign? 30 measurements of 569 nuclei.",
    source=source,
    pipeline=Pipeline(
        label="diagnosis",
        label_encoder=LabelBinarizer(),
        feature_encoders=[FeatureEncoder(encoder=StandardScaler())],
        size_test=0.2,
        fold_count=3,
    ),
    training=Training(
        library="pytorch",
        analysis_type="classification_binary",
        fn_build=fn_build,
        fn_train=fn_train,
        fn_optimize=fn_optimize,
        hyperparameters={"neurons": [16, 32], "learning_rate": [0.003, 0.01], "epochs": [30]},
    ),
    seed=7,
)
