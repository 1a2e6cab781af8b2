"""The best combination against the second, and tables over ten thousand models."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from aiqc_core.errors import SelectionError, TrainingError
from aiqc_core.orm import (
    Algorithm,
    Dataset,
    Feature,
    Hyperparamset,
    Job,
    Label,
    Prediction,
    Predictor,
    Queue,
    Splitset,
)
from aiqc_core.orm.results import leaderboard
from aiqc_core.orm.store.database import metastore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def fn_build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    """Never called: what is compared is written into the store by hand."""
    raise NotImplementedError


def fn_train(
    model: Any, loser: Any, optimizer: Any, x: Any, y: Any, eval_x: Any, eval_y: Any, **hp: Any
) -> Any:
    raise NotImplementedError


def queue(combos: int = 2, fold_count: int | None = 5, repeat_count: int = 1) -> Queue:
    """Make a queue of combinations that nothing has trained; 100 rows, 20 of them for test."""
    data = pd.DataFrame({"x": np.arange(100.0), "y": np.arange(100.0) * 2})
    dataset = Dataset.Tabular.from_df(data)
    feature = Feature.from_dataset(dataset.id, "x")
    label = Label.from_dataset(dataset.id, "y")
    cut = Splitset.make([feature.id], label.id, size_test=0.2, fold_count=fold_count, seed=1)
    algorithm = Algorithm.make("pytorch", "regression", fn_build, fn_train)
    combinations = Hyperparamset.from_algorithm(
        algorithm.id, {"neurons": list(range(combos)), "note": ["same"]}
    )
    return Queue.from_algorithm(
        algorithm.id, cut.id, repeat_count=repeat_count, hyperparamset_id=combinations.id, seed=1
    )


def record(of: Queue, score: Callable[[dict[str, Any], int, int], float]) -> None:
    """Write a Predictor and a Prediction for each training, with a score of one's own choice."""
    when = "2026-01-01T00:00:00+00:00"
    jobs = list(Job.select().where(Job.queue == of).order_by(Job.id))
    splits = list((of.splitset.ordered_folds or [of.splitset])[0].positions())
    models: list[dict[str, Any]] = []
    scores: list[float] = []
    for job in jobs:
        fold = 0 if job.fold is None else job.fold.idx
        for repeat in range(of.repeat_count):
            models.append({
                "repeat_index": repeat, "seed": 1, "time_duration": 1, "seconds": {"train": 1.5},
                "time_started": Predictor.time_started.python_value(when),
                "time_succeeded": Predictor.time_succeeded.python_value(when),
                "peak_memory_mb": 1.0, "history": {}, "is_diverged": False, "versions": {},
                "job": job,
            })  # fmt: skip
            scores.append(score(job.hyperparameters, fold, repeat))
    with metastore.atomic():
        ids = [Predictor.create(**model).id for model in models]
        for predictor, value in zip(ids, scores, strict=True):
            metrics = {split: {"r2": value, "loss": -value} for split in splits}
            Prediction.create(
                permute_count=0, metrics=metrics, metric_notes={}, predictor=predictor,
                metrics_aggregate={"r2": {"mean": value}, "loss": {"mean": -value}},
            )  # fmt: skip


def noisy(hyperparameters: dict[str, Any], fold: int, repeat: int) -> float:
    """Each fold has its own level, and each combination its own noise around its own mean."""
    name = hyperparameters["neurons"]
    noise = np.random.default_rng([name, fold, repeat]).normal(0, 0.01)
    return 0.5 + 0.1 * name + 0.05 * fold + noise


def test_the_best_beats_the_second_by_the_corrected_t_over_folds(home: Path) -> None:
    """By hand from metrics_df: 5 folds of 80 rows, so that 16 judge what 64 train: 1/4."""
    row = queue(combos=3, repeat_count=2)
    record(row, noisy)
    found = Queue.compare_best(row.id)
    table = row.metrics_df()
    shown = table[table["split"] == "fold_validation"]
    means = shown.pivot_table("r2", "hyperparamcombo_id", "fold_index", aggfunc="mean")
    differences = (means.iloc[2] - means.iloc[1]).to_numpy()
    error = math.sqrt((1 / 5 + 1 / 4) * differences.var(ddof=1))
    assert found.difference == pytest.approx(differences.mean())
    assert found.standard_error == pytest.approx(error)
    assert found.t == pytest.approx(differences.mean() / error)
    assert found.p_value == pytest.approx(2 * stats.t.sf(found.t, 4))
    assert found.is_better is True
    assert (found.metric, found.split, found.folds, found.df) == ("r2", "fold_validation", 5, 4)
    assert found.verdict.startswith("neurons=2 (")
    assert " beats neurons=1 (" in found.verdict
    assert "note" not in found.verdict  # it is the same in all


def test_of_the_loss_the_lowest_is_best(home: Path) -> None:
    row = queue(combos=3)
    record(row, noisy)
    found = row.compare_best("loss", level=0.8)
    assert found.difference < 0
    assert str(found.best).startswith("neurons=2")
    assert found.level == 0.8
    trained = leaderboard.entries(row, "loss")
    ranked = leaderboard.standings(trained, row.splitset.judged_on, metric="loss")
    assert [s.hyperparameters["neurons"] for s in ranked] == [2, 1, 0]


@pytest.mark.parametrize(
    ("options", "score", "reason"),
    [
        ({"combos": 1}, noisy, "only .* is trained"),
        ({"fold_count": None}, noisy, r"1 shared fold\(s\).*fold_count=5"),
        ({}, lambda hp, fold, _: hp["neurons"] + fold / 4, "the same, 1, in all 5 folds"),
        ({}, lambda *_: math.nan, r"r2 of .* is not finite in 5 fold\(s\)"),
    ],
)
def test_what_cannot_be_decided_says_why(
    home: Path, options: Any, score: Any, reason: str
) -> None:
    import re

    row = queue(**options)
    record(row, score)
    found = row.compare_best()
    assert found.is_better is None
    assert re.search(f"^Cannot tell because .*{reason}", found.verdict)


def test_an_untrained_queue_and_an_unknown_metric_are_reported(home: Path) -> None:
    row = queue()
    with pytest.raises(TrainingError, match=r"run queue\.run_jobs\(\)"):
        row.compare_best()
    assert leaderboard.entries(row, "r2") == []
    record(row, noisy)
    with pytest.raises(SelectionError, match=r"metric: \['auc'\]; choose among \['r2', 'loss'\]"):
        row.compare_best("auc")
    with pytest.raises(SelectionError, match=r"metric: 'auc' is none of \['loss', 'r2'\]"):
        leaderboard.entries(row, "auc")


def test_entries_name_each_model_as_its_job_does(home: Path) -> None:
    row = queue(combos=2, fold_count=2, repeat_count=2)
    record(row, noisy)
    trained = leaderboard.entries(row, "r2")
    expected = [(p.id, job.key, job.combo_key) for job in row.jobs for p in job.predictors]
    assert [(e.predictor_id, e.job_key, e.combo_key) for e in trained] == expected
    assert trained[0].hyperparameters == {"neurons": 0, "note": "same"}
    assert (trained[0].fold, trained[-1].fold) == (0, 1)
    assert trained[0].seconds == 1.5
    assert trained[0].time_succeeded.year == 2026


@pytest.mark.parametrize("count", [2, 40])
def test_a_comparison_takes_as_many_queries_whatever_is_trained(
    home: Path, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    """And reads no blob: a model may have gigabytes."""
    made = queue(combos=count, fold_count=None)
    record(made, noisy)
    tables: list[tuple[Callable[[Queue], object], int]] = [
        (lambda row: leaderboard.entries(row, "r2"), 2),
        (lambda row: row.metrics_df(), 3),
        (lambda row: row.metricsAggregate_df(), 3),
        (lambda row: row.compare_best(), 8),
    ]
    for table, most in tables:
        row = Queue.get_by_id(made.id)
        caplog.clear()
        with caplog.at_level(logging.DEBUG, logger="peewee"):
            table(row)
        asked = [record.getMessage() for record in caplog.records if record.name == "peewee"]
        assert 0 < len(asked) <= most, asked
        assert not any("model_file" in text for text in asked)
