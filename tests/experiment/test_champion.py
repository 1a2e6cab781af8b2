"""The model in use: who takes its place, who does not, and what is watched meanwhile."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from sklearn.preprocessing import StandardScaler
from small_experiment import declare, source
from typer.testing import CliRunner

from aiqc_core.cli.app import app
from aiqc_core.errors import NotFoundError, TrainingError
from aiqc_core.experiment import FeatureEncoder, Pipeline, Promotion, workflow
from aiqc_core.orm import Champion, Predictor
from aiqc_core.orm.results.paired_evaluation import unseen

if TYPE_CHECKING:
    from pathlib import Path

    from aiqc_core.experiment import Experiment


def clueless(features_shape: tuple[int], label_shape: tuple[int], **hp: Any) -> Any:
    """Say the opposite of what is true."""
    from torch import nn

    model = nn.Sequential(nn.Linear(features_shape[0], label_shape[0]), nn.Sigmoid())
    nn.init.constant_(model[0].weight, -5.0)
    return model


def untrained(
    model: Any, loser: Any, optimizer: Any, train_features: Any, train_label: Any,
    eval_features: Any, eval_label: Any, **hp: Any,
) -> Any:  # fmt: skip
    """Leave the model as it was built."""
    return model


def good(**changes: Any) -> Experiment:
    """Declare the small experiment so that it learns well."""
    return declare(epochs=(40, 60), **changes)


def bad(**changes: Any) -> Experiment:
    """Declare one of the same name whose models are wrong."""
    experiment = good(**changes)
    training = experiment.training.model_copy(
        update={"fn_build": clueless, "fn_train": untrained, "hyperparameters": {"epochs": [1, 2]}}
    )
    return experiment.model_copy(update={"training": training})


def test_the_first_best_model_is_the_champion(home: Path) -> None:
    experiment = good()
    queue = workflow.run(experiment, snapshot="s1")
    row, result = workflow.crown(experiment, "s1")
    assert result.is_promoted
    judged = queue.metrics_df().query("split == 'fold_validation'")
    means = judged.groupby("hyperparamcombo_id")["accuracy"].mean()
    best = judged[judged["hyperparamcombo_id"] == means.idxmax()]
    assert row.predictor_id in set(best["predictor_id"])
    assert best.set_index("predictor_id")["accuracy"][row.predictor_id] == best["accuracy"].max()
    again, same = workflow.crown(experiment, "s1")
    assert again.id == row.id
    assert not same.is_promoted
    assert "is the champion already" in same.finding.summary
    assert Champion.select().count() == 1


def test_a_surely_worse_challenger_leaves_the_champion_in_place(home: Path) -> None:
    experiment = good(source=lambda: source(200))
    workflow.run(experiment, snapshot="s1")
    first, _ = workflow.crown(experiment, "s1")
    worse = bad(source=lambda: source(200))
    workflow.run(worse, snapshot="s2")
    row, result = workflow.crown(worse, "s2")
    assert row.id == first.id
    assert result.contest
    assert result.finding.verdict == "failed"
    assert result.contest.high < 0
    truth = np.where(source(200)["x"] > 0, "up", "down")
    test = first.predictor.job.queue.splitset.positions()["test"]
    said = [p.predictions[0].predictions["test"] for p in (first.predictor, result.challenger)]
    expected = [float((answers == truth[test]).mean()) for answers in said]
    assert [result.contest.champion, result.contest.challenger] == expected


@pytest.mark.filterwarnings("ignore:Splitset.make. samples equal one that trains")
def test_on_later_data_the_challenger_is_judged_on_rows_it_never_saw(home: Path) -> None:
    old = bad(source=lambda: source(200))
    workflow.run(old, snapshot="s1")
    champion, _ = workflow.crown(old, "s1")
    grown = good(source=lambda: pd.concat([source(200), source(40)[::-1]], ignore_index=True))
    workflow.run(grown, snapshot="s2")
    row, result = workflow.crown(grown, "s2")
    assert result.is_promoted
    assert row.predictor_id == result.challenger.id != champion.predictor_id
    assert result.contest
    test = champion.predictor.job.queue.splitset.positions()["test"]
    job = result.challenger.job
    learned = job.fold.positions()[job.queue.splitset.key_train]
    seen = {tuple(values) for values in grown.load().values.iloc[learned][["x", "z"]].to_numpy()}
    rows = source(200)[["x", "z"]].to_numpy()
    kept = [p for p in test if tuple(rows[p]) not in seen]
    assert unseen(champion.predictor, result.challenger, test).tolist() == kept
    assert result.contest.samples == len(kept) < len(test)
    assert result.contest.low > 0


def test_a_rule_can_ask_for_more_than_being_not_worse(home: Path) -> None:
    workflow.run(good(), snapshot="s1")
    first, _ = workflow.crown(good(), "s1")
    picky = good(seed=8, promotion=Promotion(min_improvement=0.5))
    workflow.run(picky, snapshot="s2")
    row, result = workflow.crown(picky, "s2")
    assert row.id == first.id
    assert "the rule asks for 0.5" in result.finding.summary


def test_before_a_promotion_the_error_says_what_to_run(home: Path) -> None:
    with pytest.raises(NotFoundError, match="run retrain_updown"):
        workflow.champion(good())
    workflow.prepare(good(), "s1")
    with pytest.raises(TrainingError, match="none is trained"):
        workflow.candidate(good(), "s1")
    assert workflow.drift(good(), "s1").summary == "There is no champion yet to compare with."
    assert workflow.champion_sound(good()).verdict == "passed"


def test_what_is_missing_is_counted(home: Path) -> None:
    experiment = declare()
    queue = workflow.prepare(experiment, "s1")
    assert workflow.jobs_present(experiment, "s1").facts["trained"] == 0
    queue.run_jobs(progress=False)
    assert workflow.jobs_present(experiment, "s1").verdict == "passed"


def test_new_data_that_moved_are_named_against_the_champions_training_rows(home: Path) -> None:
    experiment = declare(source=lambda: source(200))
    workflow.run(experiment, snapshot="s1")
    workflow.crown(experiment, "s1")
    assert workflow.drift(experiment, "s1").verdict == "passed"
    moved = declare(source=lambda: source(200).assign(x=lambda frame: frame["x"] + 2))
    workflow.prepare(moved, "s2")
    found = workflow.drift(moved, "s2")
    assert found.verdict == "failed"
    assert "x (PSI" in found.summary


def test_a_column_of_the_champion_that_is_gone_is_amber_with_the_reason(home: Path) -> None:
    experiment = declare(source=lambda: source(200))
    workflow.run(experiment, snapshot="s1")
    workflow.crown(experiment, "s1")
    changed = {
        "s2": (["x", "y"], "columns ['z'], which snapshot s2 has not. None of 1 columns moved"),
        "s3": (["w", "y"], "columns ['x', 'z'], which snapshot s3 has not."),
    }
    for key, (columns, said) in changed.items():
        less = declare(source=lambda c=columns: source(200).assign(w=1.0 * np.arange(200))[c])
        workflow.prepare(less, key)
        found = workflow.drift(less, key)
        assert found.verdict == "warning"
        assert said in found.summary


def test_old_data_are_fresh_while_the_source_stays_the_same(home: Path) -> None:
    soon = declare(freshness=timedelta(microseconds=1))
    assert workflow.fresh(soon).verdict == "warning"
    workflow.run(soon, snapshot="s1")
    assert workflow.fresh(soon).verdict == "passed"
    moved = declare(freshness=timedelta(microseconds=1), source=lambda: source(61))
    assert workflow.fresh(moved).verdict == "failed"
    assert Predictor.select().count() == 4


def linear(features_shape: tuple[int], label_shape: tuple[int], **hp: Any) -> Any:
    """Linear regression."""
    from torch import nn

    return nn.Linear(features_shape[0], label_shape[0])


def regression(**changes: Any) -> Experiment:
    """Declare a regression of z by x under the same name."""
    given = declare(epochs=(2,)).training
    training = given.model_copy(
        update={
            "analysis_type": "regression",
            "fn_build": linear,
        }
    )
    scaled = [FeatureEncoder(encoder=StandardScaler())]
    pipeline = Pipeline(
        label="z", features=["x"], feature_encoders=scaled, size_test=0.2, fold_count=2
    )
    return declare(**({"training": training, "pipeline": pipeline} | changes))


def without(column: str) -> pd.DataFrame:
    return source().drop(columns=[column])


@pytest.mark.parametrize(
    ("now", "reported"),
    [
        (
            lambda: source().assign(w=range(60)),
            r"takes columns \['w'\], which the champion's data lack",
        ),
        (lambda: source().rename(columns={"z": "q"}), r"takes columns \['q'\]"),
        (
            lambda: source().replace({"up": "high", "down": "low"}),
            r"does not know \['down', 'up'\] of the champion's classes",
        ),
        (lambda: source().assign(y=[0, 1] * 30), "does not know"),
    ],
)
def test_a_contest_that_changed_data_make_impossible_is_amber_and_says_how_to_promote(
    home: Path, now: Any, reported: str
) -> None:
    workflow.run(declare(epochs=(2,)), snapshot="s1")
    first, _ = workflow.crown(declare(epochs=(2,)), "s1")
    changed = declare(epochs=(2,), source=now)
    workflow.run(changed, snapshot="s2")
    row, result = workflow.crown(changed, "s2")
    assert (row.id, result.finding.verdict, result.contest) == (first.id, "warning", None)
    assert re.search(reported, result.finding.summary)
    assert "aiqc promote updown --snapshot s2" in result.finding.summary
    done = CliRunner().invoke(app, ["promote", "updown", "--snapshot", "s2", "--json"])
    assert json.loads(done.output)["predictor_id"] == result.challenger.id
    _, again = workflow.crown(changed, "s2")
    assert "is the champion already" in again.finding.summary


def test_another_analysis_of_the_same_name_is_no_contest(home: Path) -> None:
    workflow.run(declare(epochs=(2,)), snapshot="s1")
    workflow.crown(declare(epochs=(2,)), "s1")
    workflow.run(regression(), snapshot="s2")
    _, result = workflow.crown(regression(), "s2")
    assert result.finding.verdict == "warning"
    assert "champion is a classification_binary, the challenger a regression" in (
        result.finding.summary
    )


def test_rows_of_fewer_columns_are_known_again(home: Path) -> None:
    """Hashed with all columns none would be, and the challenger be judged on what it learned."""
    workflow.run(declare(epochs=(2,)), snapshot="s1")
    champion, _ = workflow.crown(declare(epochs=(2,)), "s1")
    narrow = declare(epochs=(2,), seed=9, source=lambda: without("z").assign(x=source()["x"]))
    workflow.run(narrow, snapshot="s2")
    challenger = workflow.candidate(narrow, "s2")
    test = champion.predictor.job.queue.splitset.positions()["test"]
    learned = challenger.job.fold.positions()["folds_train_combined"]
    expected = np.setdiff1d(test, learned)
    assert unseen(champion.predictor, challenger, test).tolist() == expected.tolist()


@pytest.mark.parametrize(("declared", "counted"), [("loss", "log_loss"), ("roc_auc", "roc_auc")])
def test_models_that_are_ranked_by_a_loss_compete_by_what_is_of_single_samples(
    home: Path, declared: str, counted: str
) -> None:
    experiment = declare(epochs=(2,), metric=declared, source=lambda: source(200))
    workflow.run(experiment, snapshot="s1")
    champion, _ = workflow.crown(experiment, "s1")
    later = declare(epochs=(9,), metric=declared, source=lambda: source(200))
    workflow.run(later, snapshot="s2")
    _, result = workflow.crown(later, "s2")
    assert result.contest
    assert result.contest.metric == counted
    test = champion.predictor.job.queue.splitset.positions()["test"]
    truth = source(200)["y"].to_numpy()[test] == "up"
    score = sklearn.metrics.log_loss if declared == "loss" else sklearn.metrics.roc_auc_score
    for predictor, found in (
        (champion.predictor, result.contest.champion),
        (result.challenger, result.contest.challenger),
    ):
        assert found == pytest.approx(score(truth, predictor.prediction.probabilities["test"]))


@pytest.mark.filterwarnings("ignore:bin_count")
def test_where_the_score_is_undefined_the_loss_chooses_and_the_contest_says_so(
    home: Path,
) -> None:
    constant = regression(source=lambda: source().assign(z=1.0))
    queue = workflow.run(constant, snapshot="s1")
    workflow.crown(constant, "s1")
    judged = queue.metrics_df().query("split == 'fold_validation'")
    means = judged.groupby("hyperparamcombo_id")["loss"].mean()
    best = judged[judged["hyperparamcombo_id"] == means.idxmin()]
    assert workflow.candidate(constant, "s1").id == best.loc[best["loss"].idxmin(), "predictor_id"]
    moved = regression(source=lambda: source().assign(z=1.0, x=source()["x"] + 1.0))
    workflow.run(moved, snapshot="s2")
    _, result = workflow.crown(moved, "s2")
    assert result.finding.verdict == "warning"
    assert "r2 of the champion and challenger is undefined" in result.finding.summary


def test_a_promotion_by_hand_names_what_there_is(home: Path) -> None:
    with pytest.raises(NotFoundError, match=r"'s9' is not trained; of 'updown' there are \[\]"):
        workflow.promote("updown", "s9")
    queue = workflow.run(declare(epochs=(2,)), snapshot="s1")
    with pytest.raises(NotFoundError, match=r"predictor: 99 is none of snapshot 's1': \[1, 2\]"):
        workflow.promote("updown", "s1", 99)
    row = workflow.promote("updown", predictor_id=1, reason="It is smaller.")
    assert (row.predictor_id, row.snapshot) == (1, "s1")
    assert row.reason == "Promoted by hand. It is smaller."
    assert queue.runs_completed == 2
