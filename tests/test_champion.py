"""The model in use: who takes its place, who does not, and what is watched meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from small_experiment import declare, source

from aiqc_core import chain
from aiqc_core.errors import NotFoundError, TrainingError
from aiqc_core.experiment import Promotion
from aiqc_core.orm import Champion, Predictor
from aiqc_core.orm.versus import unseen

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
    queue = chain.run(experiment, snapshot="s1")
    row, result = chain.crown(experiment, "s1")
    assert result.is_promoted
    judged = queue.metrics_df().query("split == 'fold_validation'")
    means = judged.groupby("hyperparamcombo_id")["accuracy"].mean()
    best = judged[judged["hyperparamcombo_id"] == means.idxmax()]
    assert row.predictor_id in set(best["predictor_id"])
    assert best.set_index("predictor_id")["accuracy"][row.predictor_id] == best["accuracy"].max()
    again, same = chain.crown(experiment, "s1")
    assert again.id == row.id
    assert not same.is_promoted
    assert "is the champion already" in same.finding.summary
    assert Champion.select().count() == 1


def test_a_surely_worse_challenger_leaves_the_champion_in_place(home: Path) -> None:
    experiment = good(source=lambda: source(200))
    chain.run(experiment, snapshot="s1")
    first, _ = chain.crown(experiment, "s1")
    worse = bad(source=lambda: source(200))
    chain.run(worse, snapshot="s2")
    row, result = chain.crown(worse, "s2")
    assert row.id == first.id
    assert result.contest
    assert result.finding.verdict == "failed"
    assert result.contest.high < 0
    truth = np.where(source(200)["x"] > 0, "up", "down")
    test = first.predictor.job.queue.splitset.positions()["test"]
    said = [p.predictions[0].predictions["test"] for p in (first.predictor, result.challenger)]
    expected = [float((answers == truth[test]).mean()) for answers in said]
    assert [result.contest.champion, result.contest.challenger] == expected


def test_on_later_data_the_challenger_is_judged_on_rows_it_never_saw(home: Path) -> None:
    old = bad(source=lambda: source(200))
    chain.run(old, snapshot="s1")
    champion, _ = chain.crown(old, "s1")
    grown = good(source=lambda: pd.concat([source(200), source(40)[::-1]], ignore_index=True))
    chain.run(grown, snapshot="s2")
    row, result = chain.crown(grown, "s2")
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
    chain.run(good(), snapshot="s1")
    first, _ = chain.crown(good(), "s1")
    picky = good(seed=8, promotion=Promotion(min_improvement=0.5))
    chain.run(picky, snapshot="s2")
    row, result = chain.crown(picky, "s2")
    assert row.id == first.id
    assert "the rule asks for 0.5" in result.finding.summary


def test_before_a_promotion_the_error_says_what_to_run(home: Path) -> None:
    with pytest.raises(NotFoundError, match="run retrain_updown"):
        chain.champion(good())
    chain.prepare(good(), "s1")
    with pytest.raises(TrainingError, match="none is trained"):
        chain.candidate(good(), "s1")
    assert chain.drift(good(), "s1").summary == "There is no champion yet to compare with."
    assert chain.champion_sound(good()).verdict == "passed"


def test_what_is_missing_is_counted(home: Path) -> None:
    experiment = declare()
    queue = chain.prepare(experiment, "s1")
    assert chain.jobs_present(experiment, "s1").facts["trained"] == 0
    queue.run_jobs(progress=False)
    assert chain.jobs_present(experiment, "s1").verdict == "passed"


def test_new_data_that_moved_are_named_against_the_champions_training_rows(home: Path) -> None:
    experiment = declare(source=lambda: source(200))
    chain.run(experiment, snapshot="s1")
    chain.crown(experiment, "s1")
    assert chain.drift(experiment, "s1").verdict == "passed"
    moved = declare(source=lambda: source(200).assign(x=lambda frame: frame["x"] + 2))
    chain.prepare(moved, "s2")
    found = chain.drift(moved, "s2")
    assert found.verdict == "failed"
    assert "x (PSI" in found.summary


def test_old_data_are_fresh_while_the_source_stays_the_same(home: Path) -> None:
    soon = declare(freshness=timedelta(microseconds=1))
    assert chain.fresh(soon).verdict == "warning"
    chain.run(soon, snapshot="s1")
    assert chain.fresh(soon).verdict == "passed"
    moved = declare(freshness=timedelta(microseconds=1), source=lambda: source(61))
    assert chain.fresh(moved).verdict == "failed"
    assert Predictor.select().count() == 4
