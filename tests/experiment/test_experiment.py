"""What a declaration knows by itself, before anything is read or trained."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
import small_experiment
from hypothesis import given
from hypothesis import strategies as st

from aiqc_core.errors import AlgorithmError, DeclarationError, TrainingError
from aiqc_core.experiment import Promotion
from aiqc_core.experiment.model.automation import CRON_FIELDS, checked_cron
from aiqc_core.stages.evaluate import metrics
from aiqc_core.stages.evaluate.ranking import metrics_of


def changed(**training: Any) -> dict[str, Any]:
    """Return the small experiment's training with changes, validated again."""
    whole = small_experiment.declare().training
    return {"training": type(whole)(**(dict(whole) | training))}


def test_the_leading_metric_knows_which_way_is_up() -> None:
    assert not small_experiment.declare().lower_is_better
    assert small_experiment.declare().leading_metric == "accuracy"
    assert small_experiment.declare(metric="loss").lower_is_better


def test_the_metrics_that_may_lead_are_those_that_are_computed() -> None:
    truth, predicted = np.array([0, 1, 1]), np.array([0, 1, 0])
    scores = metrics.classification(truth, predicted, np.array([0.1, 0.9, 0.4]), 2, binary=True)
    assert {*scores.values, "loss"} == set(metrics_of("classification_binary"))
    numbers = metrics.regression(np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 3.0]))
    assert {*numbers.values, "loss"} == set(metrics_of("regression"))


def test_freshness_is_reported_in_hours_or_as_a_span() -> None:
    assert small_experiment.declare(freshness=36).freshness == timedelta(hours=36)
    span = timedelta(days=2)
    assert small_experiment.declare(freshness=span).freshness == span
    with pytest.raises(DeclarationError, match="0; give a number of hours above 0"):
        small_experiment.declare(freshness=0)


def test_by_default_the_challenger_must_not_be_worse_on_test_rows() -> None:
    assert small_experiment.declare().promotion == Promotion(
        metric=None, split="test", min_improvement=0.0, max_p=None
    )


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"min_improvement": -0.1}, "greater than or equal to 0"),
        ({"max_p": 0.0}, "greater than 0"),
        ({"split": "tset"}, "'train', 'validation' or 'test'"),
    ],
)
def test_an_impossible_rule_of_promotion_is_refused(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        Promotion(**rule)


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"search": "random"}, "tries as many as are asked for"),
        ({"search": "grid", "search_count": 2}, "tries every combination"),
        ({"hyperparameters": {"a": {"low": 0.0, "high": 1.0}}}, "have no grid"),
        ({"hyperparameters": {"a": []}}, "'a' has no values"),
        ({"hyperparameters": {}, "search_count": 3}, "no hyperparameters to search"),
        ({"time_limit": 0}, "greater than 0"),
        ({"workers": 0}, "greater than or equal to 1"),
    ],
)
def test_an_impossible_training_is_refused(given_: dict[str, Any], message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        changed(**given_)


def test_a_random_search_draws_the_same_combinations_each_time() -> None:
    ranged = {
        "search": "random",
        "search_count": 4,
        "hyperparameters": {"lr": {"low": 0.0, "high": 1.0}},
    }
    keys = small_experiment.declare(**changed(**ranged)).combo_keys()
    assert len(set(keys)) == 4
    assert small_experiment.declare(**changed(**ranged)).combo_keys() == keys
    assert small_experiment.declare(**changed(**ranged), seed=6).combo_keys() != keys


def test_a_search_that_results_lead_numbers_its_cells() -> None:
    guided = small_experiment.declare(**changed(search="tpe", search_count=2))
    assert guided.job_keys() == ["f0_t000", "f1_t000", "f0_t001", "f1_t001"]
    with pytest.raises(AlgorithmError, match="as results come, so none is known before"):
        guided.combinations()


FIELD = [
    st.integers(low, high).map(str) | st.just("*") | st.integers(1, 9).map(lambda n: f"*/{n}")
    for _, low, high in CRON_FIELDS
]


@given(st.tuples(*FIELD).map(" ".join))
def test_a_schedule_of_cron_is_what_dagster_takes(text: str) -> None:
    """Dagster's own check is the oracle, also for what is refused below."""
    from dagster_internals import is_valid_cron_schedule

    assert is_valid_cron_schedule(text) or text.split()[2:4] in IMPOSSIBLE_DAYS
    assert checked_cron(text) == text


IMPOSSIBLE_DAYS = [["30", "2"], ["31", "2"], ["31", "4"], ["31", "6"], ["31", "9"], ["31", "11"]]


@pytest.mark.parametrize(
    "text", ["* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * jon *", "*/0 * * * *",
             "5-2 * * * *", "every day", "@reboot", ""],
)  # fmt: skip
def test_what_cron_cannot_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="cron"):
        checked_cron(text)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_search_that_results_lead_runs_outside_of_dagster(home: object) -> None:
    ranged = {"epochs": {"low": 1, "high": 4}}
    guided = changed(search="tpe", search_count=2, hyperparameters=ranged)
    queue = small_experiment.declare(**guided).run()
    assert queue.runs_completed == queue.total_runs == 4


@pytest.mark.slow
def test_a_training_is_stopped_after_the_time_limit_of_the_declaration(home: object) -> None:
    endless = changed(fn_train=_endless, hyperparameters={}, time_limit=1.0)
    with pytest.raises(TrainingError, match="time limit of 1"):
        small_experiment.declare(**endless).run()


def _endless(
    model: Any, loser: Any, optimizer: Any, train_features: Any, train_label: Any,
    eval_features: Any, eval_label: Any, **hp: Any,
) -> Any:  # fmt: skip
    import time

    time.sleep(60)
