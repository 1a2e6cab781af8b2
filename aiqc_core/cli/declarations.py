"""Make declarations of experiments, and check them: the commands init and check."""

from __future__ import annotations

import re
import tomllib
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from aiqc_core.cli import output
from aiqc_core.errors import DeclarationError, NotFoundError
from aiqc_core.experiment.declaration import LOADER, Fault, Found, survey
from aiqc_core.experiment.declaration.names import UnknownNameError, resolve
from aiqc_core.experiment.model.experiment import NAME_PATTERN, RESERVED

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


def init(name: str, into: Path | None) -> None:
    """Write the folder of an experiment, and say what to do next."""
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
    from sklearn.datasets import load_wine

    bunch: Any = load_wine(as_frame=True)  # pyright: ignore[reportUnknownVariableType]
    named = {column: column.replace("/", "_") for column in bunch.data}
    cultivars = bunch.target.map(dict(enumerate(("barolo", "grignolino", "barbera"))))
    folder.mkdir(parents=True)
    wines = bunch.data.rename(columns=named).assign(cultivar=cultivars)
    wines.to_csv(folder / f"{name}.csv", index=False)
    for file, template in (("defs.yaml", DEFS), ("functions.py", FUNCTIONS)):
        (folder / file).write_text(template.format(name=name), encoding="utf-8")
    file = relative(folder / "defs.yaml")
    run = f"dagster job execute -m aiqc_dagster.definitions -j retrain_{name}"
    if into is not None:
        run = f'python -c "from aiqc_core.declaration import load; load({file!r}).run()"'
    typer.echo(
        f"Made {relative(folder)}: {name}.csv, defs.yaml, functions.py. Next:\n"
        f"  aiqc check {file}\n  {run}\n  aiqc leaderboard {name}"
    )


def check(path: Path | None, *, data: bool, as_json: bool) -> bool:
    """Print one line an experiment, and one a fault; return whether there is no fault."""
    place = path or defs_folder()
    found = _survey(place, deep=data)
    if not found:
        raise NotFoundError(
            f"{relative(place)} declares no experiment (a folder with defs.yaml or "
            "experiment.py). Make one: aiqc init NAME."
        )
    faults = sum(len(one.faults) for one in found)
    if as_json:
        members = [
            {
                "file": relative(one.file),
                "experiment": one.experiment and one.experiment.name,
                "metric": one.experiment and one.experiment.leading_metric,
                "faults": [asdict(_relative(fault)) for fault in one.faults],
            }
            for one in found
        ]
        output.as_json({"sound": faults == 0, "declarations": members})
        return faults == 0
    console = Console(soft_wrap=True, highlight=False)
    for one in found:
        file = escape(relative(one.file))
        if one.faults or one.experiment is None:
            console.print(f"[red]faulty[/] {file}")
            for fault in one.faults:
                console.print(Text(f"  {_relative(fault)}"))
        else:
            console.print(f"[green]sound[/]  {file}: {one.experiment.name}")
    good = sum(not one.faults for one in found)
    console.print(f"{good} of {len(found)} declarations are sound, {faults} fault(s).")
    return faults == 0


def _survey(place: Path, *, deep: bool) -> list[Found]:
    """Return the declarations, and the faults that Dagster finds beside them."""
    seen = survey(place, deep=deep)
    known = {fault for one in seen for fault in one.faults}
    if any(one.experiment is None and not one.faults for one in seen):
        with suppress(UnknownNameError):  # AIQC is here without Dagster
            faults = resolve(LOADER, place)(place)
            seen += [Found(f.file, None, (f,)) for f in faults if f not in known]
    return [one for one in seen if one.experiment is not None or one.faults]


def _relative(fault: Fault) -> Fault:
    return replace(fault, file=Path(relative(fault.file)))


def defs_folder() -> Path:
    """Return the folder that `[tool.dg.project]` of the nearest pyproject.toml names."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        file = folder / "pyproject.toml"
        if not file.is_file():
            continue
        try:
            settings: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise NotFoundError(f"{file} is no TOML: {error}.") from error
        defs = settings.get("tool", {}).get("dg", {}).get("project", {}).get("defs_module")
        if defs is not None:
            return folder.joinpath(*defs.split("."))
    raise NotFoundError(
        f"no pyproject.toml at or above {here} names the folder of declarations "
        "([tool.dg.project] defs_module). Go to the project, or name a folder."
    )


def relative(path: Path) -> str:
    """Return a path as people in this working directory would type it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
