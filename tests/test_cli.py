"""The command `aiqc`, as a shell runs it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from aiqc_core import __version__, chain
from aiqc_core.cli import app
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
    chain.run(small, snapshot="s1")
    return small


def test_the_leaderboard_shows_every_model_and_the_champion(
    trained: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    done = RUN.invoke(app, ["leaderboard", trained.name, "--since", "2100-01-01T00:00:00"])
    assert done.exit_code == 0, done.output
    assert "accuracy of 2 of 2 models" in done.output
    assert "neurons=2 " in done.output
    assert "Champion by mean validation score" in done.output
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


def test_the_version_names_the_store(home: Path) -> None:
    done = RUN.invoke(app, ["version"])
    assert done.output.split() == ["aiqc", f"{__version__},", "store", *str(home).split()]
    assert not home.exists()
