"""The command `aiqc`, as a shell runs it."""

from __future__ import annotations

import inspect
import json
from importlib import import_module
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from aiqc_core import __version__
from aiqc_core.cli.app import app
from aiqc_core.experiment import declaration, workflow
from aiqc_dagster.defs.breast_cancer.experiment import EXPERIMENT

if TYPE_CHECKING:
    from pathlib import Path

    from aiqc_core.experiment import Experiment

RUN = CliRunner()


@pytest.fixture
def trained(home: Path) -> Experiment:
    """Train a small version of the demo."""
    training = EXPERIMENT.training.model_copy(
        update={
            "hyperparameters": {"neurons": [2, 4], "learning_rate": [0.01], "epochs": [2]},
            "permute_count": 0,
        }
    )
    pipeline = EXPERIMENT.pipeline.model_copy(
        update={"fold_count": None, "size_test": 0.2, "size_validation": 0.2}
    )
    small = EXPERIMENT.model_copy(update={"training": training, "pipeline": pipeline})
    workflow.run(small, snapshot="s1")
    return small


def test_the_leaderboard_shows_every_model_and_the_champion(
    trained: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    done = RUN.invoke(app, ["leaderboard", trained.name, "--since", "2100-01-01T00:00:00"])
    assert done.exit_code == 0, done.output
    assert "accuracy of 2 of 2 models" in done.output
    assert "neurons=2 " in done.output
    assert "Best by mean validation accuracy" in done.output
    assert "Trained now: 0 of 2. Nothing to do" in done.output
    assert "make ui" in done.output


def test_the_leaderboard_as_json_is_ranked_best_first(trained: Experiment) -> None:
    done = RUN.invoke(app, ["leaderboard", trained.name, "--metric", "loss", "--json"])
    shown = json.loads(done.output)
    assert {s["combo_key"] for s in shown["standings"]} == set(trained.combo_keys())
    assert [s["models"] for s in shown["standings"]] == [1, 1]


def test_an_unknown_experiment_says_what_there_is_and_how_to_train(trained: Experiment) -> None:
    done = RUN.invoke(app, ["leaderboard", "wine"])
    assert done.exit_code == 1
    assert "'wine'" in done.output
    assert "['breast_cancer']" in done.output
    assert "dagster job execute" in done.output


def test_a_command_has_the_options_of_the_function_that_does_it() -> None:
    for each in app.registered_commands:
        assert each.callback is not None
        name = inspect.getclosurevars(each.callback).nonlocals["module"]
        work = getattr(import_module(f"aiqc_core.cli.{name}"), each.callback.__name__)
        options = inspect.signature(each.callback).parameters
        assert list(options) == list(inspect.signature(work).parameters)


def test_the_version_names_the_store(home: Path) -> None:
    done = RUN.invoke(app, ["version"])
    assert done.exit_code == 0
    assert done.output.split() == ["aiqc", f"{__version__},", "store", *str(home).split()]
    assert not home.exists()


def test_init_makes_a_folder_that_has_no_fault(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = RUN.invoke(app, ["init", "mine", "--into", "folder"])
    assert done.exit_code == 0, done.output
    assert "aiqc check folder/mine/defs.yaml" in done.output
    assert "aiqc leaderboard mine" in done.output
    names = {path.name for path in (tmp_path / "folder" / "mine").iterdir()}
    assert names == {"mine.csv", "defs.yaml", "functions.py"}
    checked = RUN.invoke(app, ["check", "folder"])
    assert (checked.exit_code, checked.output) == (
        0,
        "sound  folder/mine/defs.yaml: mine\n1 of 1 declarations are sound, 0 fault(s).\n",
    )
    assert not home.exists()


def test_init_finds_the_folder_that_the_project_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.dg.project]\ndefs_module = "mine.defs"\n')
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    done = RUN.invoke(app, ["init", "wine"])
    assert "dagster job execute -m aiqc_dagster.definitions -j retrain_wine" in done.output
    assert (tmp_path / "mine" / "defs" / "wine" / "defs.yaml").is_file()


@pytest.mark.parametrize("name", ["Mine", "9lives", "a/b", "../a", "", "notebook", "x" * 61])
def test_init_refuses_a_name_that_no_experiment_can_have(tmp_path: Path, name: str) -> None:
    done = RUN.invoke(app, ["init", "--into", str(tmp_path / "new"), "--", name])
    assert done.exit_code == 1
    assert "lower-case letters" in done.output
    assert not (tmp_path / "new").exists()


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    done = RUN.invoke(app, ["init", "mine", "--into", str(tmp_path)])
    assert done.exit_code == 1
    assert "is there already" in done.output
    assert list((tmp_path / "mine").iterdir()) == []


def test_outside_of_a_project_init_asks_for_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = RUN.invoke(app, ["init", "mine"])
    assert done.exit_code == 1
    assert "name a folder" in done.output


def test_check_prints_every_fault_and_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    RUN.invoke(app, ["init", "mine", "--into", "."])
    file = tmp_path / "mine" / "defs.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("label: c", "label: k").replace("[8, 16]", "[]"), "utf-8")
    done = RUN.invoke(app, ["check", "mine"])
    assert done.exit_code == 1
    lines = done.output.splitlines()
    assert lines[0] == "faulty mine/defs.yaml"
    assert lines[1] == (
        "  mine/defs.yaml:10: pipeline.label: no column 'kultivar'. Did you mean 'cultivar'?"
    )
    assert lines[2].startswith("  mine/defs.yaml:24: training.hyperparameters.neurons: 'neurons'")
    assert lines[3] == "0 of 1 declarations are sound, 2 fault(s)."
    as_json = RUN.invoke(app, ["check", "mine", "--json"])
    assert as_json.exit_code == 1
    (reported,) = json.loads(as_json.output)["declarations"]
    assert [(fault["file"], fault["line"]) for fault in reported["faults"]] == [
        ("mine/defs.yaml", 10), ("mine/defs.yaml", 24),
    ]  # fmt: skip


def test_check_of_nothing_says_how_to_begin(tmp_path: Path) -> None:
    done = RUN.invoke(app, ["check", str(tmp_path)])
    assert done.exit_code == 1
    assert "aiqc init NAME" in done.output


def test_a_scaffolded_experiment_trains_in_a_notebook(home: Path, tmp_path: Path) -> None:
    RUN.invoke(app, ["init", "mine", "--into", str(tmp_path)])
    queue = declaration.load(tmp_path / "mine" / "defs.yaml").run()
    assert queue.runs_completed == queue.total_runs == 2
    assert queue.metrics_df(selected_metrics=["accuracy"])["accuracy"].max() > 0.9
