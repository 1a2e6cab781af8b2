"""Make the folder of a new experiment that runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import typer

from aiqc_core.cli.project import defs_folder, relative
from aiqc_core.errors import DeclarationError
from aiqc_core.experiment.model.experiment import NAME_PATTERN, RESERVED

if TYPE_CHECKING:
    from pathlib import Path

DEFS = """\
# An experiment: which data, how they become samples, what learns from them.
# `aiqc check` shows what is wrong in here, all at once.
type: aiqc_dagster.component.ExperimentComponent

attributes:
  name: {name}
  description: Which of three cultivars is a wine? 13 measurements of 178 wines.
  source: {name}.csv # beside this file; or a function: .functions:source
  pipeline:
    label: cultivar
    label_encoder: sklearn.preprocessing.OneHotEncoder
    feature_encoders:
      - sklearn.preprocessing.StandardScaler
      # - encoder: sklearn.preprocessing.PowerTransformer
      #   args: {{ method: yeo-johnson }}
      #   columns: [proline]
    size_test: 0.2
    size_validation: 0.15 # or fold_count: 3
  training:
    library: pytorch # or keras
    analysis_type: classification_multi # or classification_binary, regression
    functions: .functions # its fn_build, fn_train, fn_lose, fn_optimize and fn_predict
    hyperparameters: # every combination is trained
      neurons: [8, 16]
      epochs: [20]
  metric: accuracy
  seed: 7
  # schedule: "30 6 * * 1-5" # look for new data at 6:30 on working days
  # timezone: Europe/Berlin
  # freshness: 48 # hours until a check turns red
  # promotion: {{ metric: f1, min_improvement: 0.01 }} # when a new best model takes over
"""

FUNCTIONS = '''\
"""What learns in the experiment {name}. Each function is stored by value, with its helpers."""

from __future__ import annotations


def fn_build(features_shape, label_shape, **hp):
    """One hidden layer, and a probability for each class."""
    from torch import nn

    return nn.Sequential(
        nn.Linear(features_shape[0], hp["neurons"]),
        nn.ReLU(),
        nn.Linear(hp["neurons"], label_shape[0]),
        nn.Softmax(dim=1),
    )


def fn_train(
    model, loser, optimizer, train_features, train_label, eval_features, eval_label, **hp
):
    """Fit in batches of 16."""
    from aiqc_core.utils.pytorch import fit

    return fit(
        model, loser, optimizer, train_features, train_label, eval_features, eval_label,
        epochs=hp["epochs"], batch_size=16,
    )
'''


def show(name: str, into: Path | None) -> None:
    """Write the folder, and say what to do next.

    Args:
        name: of the experiment and its folder.
        into: where the folder goes; the project's defs by default.
    """
    if not re.match(NAME_PATTERN, name) or name in RESERVED:
        raise DeclarationError(
            f"name: {name!r}; give up to 60 lower-case letters, digits and underscores, a letter "
            f"first, and none of {list(RESERVED)}."
        )
    folder = (into or defs_folder()) / name
    if folder.exists():
        raise DeclarationError(
            f"name: {relative(folder)} is there already; choose another name, or remove it."
        )
    folder.mkdir(parents=True)
    _data().to_csv(folder / f"{name}.csv", index=False)
    for file, template in (("defs.yaml", DEFS), ("functions.py", FUNCTIONS)):
        (folder / file).write_text(template.format(name=name), encoding="utf-8")
    typer.echo(_next_steps(name, folder, in_project=into is None))


def _data() -> Any:
    from sklearn.datasets import load_wine

    bunch: Any = load_wine(as_frame=True)
    named = {column: column.replace("/", "_") for column in bunch.data}
    cultivars = bunch.target.map(dict(enumerate(("barolo", "grignolino", "barbera"))))
    return bunch.data.rename(columns=named).assign(cultivar=cultivars)


def _next_steps(name: str, folder: Path, *, in_project: bool) -> str:
    file = relative(folder / "defs.yaml")
    steps = [f"Made {relative(folder)}: {name}.csv, defs.yaml, functions.py. Next:"]
    steps += [f"  aiqc check {file}"]
    if in_project:
        steps += [f"  dagster job execute -m aiqc_dagster.definitions -j retrain_{name}"]
    else:
        steps += [f'  python -c "from aiqc_core.declaration import load; load({file!r}).run()"']
    return "\n".join([*steps, f"  aiqc leaderboard {name}"])
