"""Train, compare and print, without Dagster. Run: python examples/quickstart.py."""

from sklearn.datasets import load_iris
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

from aiqc_core.orm import *
from aiqc_core.utils.pytorch import fit


def fn_build(features_shape, label_shape, **hp):
    hidden = nn.Sequential(nn.Linear(features_shape[0], hp["neurons"]), nn.ReLU())
    return nn.Sequential(hidden, nn.Linear(hp["neurons"], label_shape[0]), nn.Softmax(dim=1))


def fn_train(model, loser, optimizer, x, y, eval_x, eval_y, **hp):
    return fit(model, loser, optimizer, x, y, eval_x, eval_y, epochs=20, batch_size=16)


dataset = Dataset.Tabular.from_df(load_iris(as_frame=True).frame, name="iris")
feature = Feature.from_dataset(dataset.id, exclude_columns=["target"])
FeatureCoder.from_feature(feature.id, StandardScaler())
label = Label.from_dataset(dataset.id, columns=["target"])
LabelCoder.from_label(label.id, OneHotEncoder())
splitset = Splitset.make([feature.id], label.id, size_test=0.2, fold_count=3, seed=1)
algorithm = Algorithm.make("pytorch", "classification_multi", fn_build, fn_train)
combos = Hyperparamset.from_algorithm(algorithm.id, {"neurons": [8, 16]})
queue = Queue.from_algorithm(algorithm.id, splitset.id, hyperparamset_id=combos.id, seed=1)
queue.run_jobs()
print(queue.metrics_df(selected_metrics=["accuracy", "loss"], sort_by="accuracy"))
