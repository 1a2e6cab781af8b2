"""Queues: every combination on every fold, trained once, compared, resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import LabelBinarizer, StandardScaler

from aiqc_core.errors import AlgorithmError, SelectionError, TrainingError
from aiqc_core.orm import (
    Algorithm,
    Attempt,
    Dataset,
    Feature,
    FeatureCoder,
    Hyperparamset,
    Job,
    Label,
    LabelCoder,
    Predictor,
    Queue,
    Splitset,
)
from aiqc_core.orm.samples import cache

SAMPLES = 90


def frame() -> pd.DataFrame:
    """A class that two numbers nearly decide."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(SAMPLES, 2))
    noisy = x[:, 0] + x[:, 1] + 0.3 * generator.normal(size=SAMPLES)
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": np.where(noisy > 0, "up", "down")})


def fn_build(features_shape: tuple[int], label_shape: tuple[int], **hp: Any) -> Any:
    """A perceptron, or a complaint."""
    from torch import nn

    if hp.get("fails"):
        message = f"cannot build with {hp}"
        raise RuntimeError(message)
    return nn.Sequential(
        nn.Linear(features_shape[0], hp.get("neurons", 4)),
        nn.Tanh(),
        nn.Linear(hp.get("neurons", 4), label_shape[0]),
        nn.Sigmoid(),
    )


def fn_train(
    model: Any, loser: Any, optimizer: Any, train_features: Any, train_label: Any,
    eval_features: Any, eval_label: Any, **hp: Any,
) -> Any:  # fmt: skip
    """Ten epochs."""
    from aiqc_core.utils.pytorch import fit

    return fit(
        model, loser, optimizer, train_features, train_label, eval_features, eval_label,
        epochs=10, batch_size=16,
    )  # fmt: skip


def splitset(**cut: Any) -> Splitset:
    """Scale two numbers and binarize a word."""
    dataset = Dataset.Tabular.from_df(frame())
    feature = Feature.from_dataset(dataset.id, ["a", "b"])
    FeatureCoder.from_feature(feature.id, StandardScaler())
    label = Label.from_dataset(dataset.id, "y")
    LabelCoder.from_label(label.id, LabelBinarizer())
    return Splitset.make([feature.id], label.id, size_test=0.2, seed=1, **cut)


def queue(
    hyperparameters: dict[str, list[Any]] | None = None,
    cut: dict[str, Any] | None = None,
    **options: Any,
) -> Queue:
    """Make a small queue; two combinations on two folds by default."""
    algorithm = Algorithm.make("pytorch", "classification_binary", fn_build, fn_train)
    grid = {"neurons": [2, 4]} if hyperparameters is None else hyperparameters
    combos = Hyperparamset.from_algorithm(algorithm.id, grid) if grid else None
    return Queue.from_algorithm(
        algorithm.id,
        splitset(**({"fold_count": 2} if cut is None else cut)).id,
        hyperparamset_id=combos and combos.id,
        **{"permute_count": 0, "seed": 3, **options},
    )


def predictions(of: Queue) -> dict[tuple[str, int], np.ndarray]:
    """Return every test probability by Job and repeat."""
    return {
        (job.key, p.repeat_index): p.predictions[0].probabilities["test"]
        for job in of.jobs
        for p in job.predictors
    }


def test_the_recipe_of_samples_is_read_once_a_fold_and_not_for_each_training(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    recipe_key = cache.recipe_key
    monkeypatch.setattr(
        cache, "recipe_key", lambda row: (reads.append(row.id), recipe_key(row))[1]
    )
    counts = []
    for repeat_count in (1, 4):
        reads.clear()
        queue(repeat_count=repeat_count).run_jobs(progress=False)
        counts.append(len(reads))
    assert counts[0] == counts[1] <= 2 * 2 + 1  # caching and the first training of two folds


def test_a_queue_trains_each_job_once_and_then_nothing(home: Path) -> None:
    """B09."""
    row = queue(repeat_count=2)
    assert (row.total_runs, row.jobs.count(), row.runs_completed) == (8, 4, 0)
    first = row.run_jobs(progress=False)
    assert (first.trained, first.found, first.failures) == (8, 0, [])
    again = Queue.run_jobs(row.id, progress=False)
    assert (again.trained, again.found) == (0, 8)
    assert "nothing to do" in again.describe()
    assert Predictor.select().count() == row.runs_completed == 8


def test_metrics_are_those_of_scikit_learn(home: Path) -> None:
    row = queue()
    row.run_jobs(progress=False)
    table = row.metrics_df()
    assert list(table.columns[:4]) == [
        "hyperparamcombo_id",
        "fold_index",
        "job_id",
        "predictor_id",
    ]
    assert len(table) == 4 * 3
    for job in row.jobs:
        (predictor,) = job.predictors
        (prediction,) = predictor.predictions
        rows = job.fold.positions()
        for split, predicted in prediction.predictions.items():
            truth = frame()["y"].to_numpy()[rows[split]]
            shown = table[(table.predictor_id == predictor.id) & (table.split == split)]
            assert shown["accuracy"].item() == accuracy_score(truth, predicted)


def test_tables_are_filtered_and_sorted_with_nan_last(home: Path) -> None:
    """B76."""
    row = queue()
    row.run_jobs(progress=False)
    table = row.metrics_df(selected_metrics=["loss", "f1"], sort_by="loss", ascending=True)
    assert list(table.columns[-2:]) == ["loss", "f1"]
    assert table["loss"].is_monotonic_increasing
    prediction = Predictor.select().first().predictions[0]
    prediction.metrics = {s: m | {"loss": float("nan")} for s, m in prediction.metrics.items()}
    prediction.save()
    for ascending in (True, False):
        losses = row.metrics_df(sort_by="loss", ascending=ascending)["loss"]
        assert losses.isna().tolist() == [False] * 9 + [True] * 3
    with pytest.raises(SelectionError, match="'auc'"):
        row.metrics_df(selected_metrics=["auc"])
    with pytest.raises(SelectionError, match="sort_by"):
        row.metrics_df(sort_by="auc")


def test_aggregates_are_over_the_splits(home: Path) -> None:
    row = queue({}, cut={"size_validation": 0.2})
    row.run_jobs(progress=False)
    values = row.metrics_df()["loss"].to_numpy()
    table = row.metricsAggregate_df(selected_metrics="loss")
    (shown,) = table.to_dict("records")
    assert shown["mean"] == pytest.approx(values.mean())
    assert shown["median"] == pytest.approx(np.median(values))
    assert shown["pstdev"] == pytest.approx(values.std())
    assert (shown["minimum"], shown["maximum"]) == (values.min(), values.max())
    few = row.metricsAggregate_df(selected_stats=["maximum"], sort_by="maximum")
    assert list(few.columns) == [
        "hyperparamcombo_id",
        "job_id",
        "predictor_id",
        "metric",
        "positive",
        "maximum",
    ]


def test_an_untrained_queue_says_what_to_run(home: Path) -> None:
    row = queue()
    for table in (row.metrics_df, row.metricsAggregate_df):
        with pytest.raises(TrainingError, match=r"run queue\.run_jobs\(\)"):
            table()


def test_a_failing_combination_is_recorded_and_spoils_no_other(home: Path) -> None:
    row = queue({"fails": [False, True], "neurons": [2]})
    with pytest.raises(
        TrainingError, match=r"(?s)2 trained.*2 failed.*'fails': True.*cannot build"
    ):
        row.run_jobs(progress=False)
    assert row.runs_completed == 2
    failed = list(Attempt.select().where(Attempt.status == "failed"))
    assert len(failed) == 2
    assert "cannot build with" in failed[0].reason
    assert "in fn_build\n    raise RuntimeError(message)" in failed[0].traceback
    summary = row.run_jobs(progress=False, raise_on_error=False)
    assert (summary.trained, summary.found, len(summary.failures)) == (0, 2, 2)


@pytest.mark.slow
def test_results_are_the_same_on_one_worker_and_on_two(home: Path) -> None:
    """B64: neither order nor place changes a model; repeats differ."""
    here, pool = queue(repeat_count=2), queue(repeat_count=2)
    here.run_jobs(progress=False)
    summary = pool.run_jobs(workers=2, progress=False)
    assert summary.trained == 8
    expected, found = predictions(here), predictions(pool)
    assert expected.keys() == found.keys()
    for key, probabilities in expected.items():
        np.testing.assert_array_equal(found[key], probabilities)
    first, second = (expected[(row.key, i)] for row in [here.jobs[0]] for i in (0, 1))
    assert not np.array_equal(first, second)


@pytest.mark.slow
def test_a_failure_on_the_pool_is_recorded_too(home: Path) -> None:
    row = queue({"fails": [True, False], "neurons": [2]})
    summary = row.run_jobs(workers=2, progress=False, raise_on_error=False)
    assert (summary.trained, len(summary.failures)) == (2, 2)
    assert "cannot build" in summary.failures[0].reason


def test_a_claim_is_held_while_its_process_lives(home: Path) -> None:
    job = queue().jobs[0]
    attempt = job.claim(0)
    assert attempt is not None
    assert job.claim(0) is None


def test_a_claim_of_a_dead_process_is_void(home: Path) -> None:
    job = queue().jobs[0]
    attempt = job.claim(0)
    attempt.owner = attempt.owner | {"started": attempt.owner["started"] - 100}
    attempt.save()
    assert job.claim(0) is not None
    assert Attempt.get_by_id(attempt.id).status == "lost"


def test_an_interrupted_run_gives_its_claim_back(home: Path, monkeypatch: Any) -> None:
    from aiqc_core.orm.training import run

    def interrupt(spec: object) -> None:
        raise KeyboardInterrupt

    row = queue()
    monkeypatch.setattr(run.train_run, "run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        row.run_jobs(progress=False)
    monkeypatch.undo()
    assert [a.status for a in Attempt.select()] == ["lost"]
    assert row.run_jobs(progress=False).trained == 4


def test_the_trained_model_gives_its_predictions_again(home: Path) -> None:
    row = queue({}, cut={})
    row.run_jobs(progress=False)
    (predictor,) = row.jobs[0].predictors
    model, optimizer = Predictor.get_model(predictor.id)
    features = row.splitset.fetch_cache("test", "features", library="pytorch")
    probabilities = model(features).detach().numpy().ravel()
    np.testing.assert_array_equal(probabilities, predictor.predictions[0].probabilities["test"])
    assert optimizer.state_dict()["state"]
    assert predictor.features_shapes == (2,)
    assert predictor.label_shape == (1,)
    assert len(predictor.history["loss"]) == len(predictor.history["val_loss"]) == 10


def test_hyperparameters_of_a_predictor(home: Path) -> None:
    row = queue({"neurons": [2, 4], "note": ["x"]}, cut={})
    row.run_jobs(progress=False)
    predictor = row.jobs[1].predictors[0]
    assert predictor.get_hyperparameters(as_pandas=False) == {"neurons": 4, "note": "x"}
    assert predictor.get_hyperparameters().to_dict("records") == [{"neurons": 4, "note": "x"}]


def test_importance_is_kept_by_feature_and_column(home: Path) -> None:
    row = queue({}, cut={}, permute_count=2)
    row.run_jobs(progress=False)
    importance = row.jobs[0].predictors[0].predictions[0].feature_importance
    ((feature_id, columns),) = importance.items()
    assert int(feature_id) == row.splitset.feature_ids[0]
    assert set(columns) == {"a", "b"}
    assert all(len(entry["loss_impacts"]) == 2 for entry in columns.values())
    assert columns["a"]["median"] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repeat_count": 0}, "repeat_count"),
        ({"permute_count": -1}, "permute_count"),
        ({"repeat_count": 1.5}, "repeat_count"),
    ],
)
def test_impossible_counts_are_refused(home: Path, options: dict, message: str) -> None:
    with pytest.raises(AlgorithmError, match=message):
        queue(**options)
    assert Queue.select().count() == Job.select().count() == 0


def test_workers_must_be_a_count(home: Path) -> None:
    with pytest.raises(TrainingError, match="workers: 0"):
        queue().run_jobs(workers=0)


def _queue_for(data: pd.DataFrame, analysis_type: str, coder: object = None) -> Queue:
    dataset = Dataset.Tabular.from_df(data)
    feature = Feature.from_dataset(dataset.id, exclude_columns=["y"])
    label = Label.from_dataset(dataset.id, "y")
    if coder is not None:
        LabelCoder.from_label(label.id, coder)
    cut = Splitset.make([feature.id], label.id, seed=1)
    algorithm = Algorithm.make("pytorch", analysis_type, fn_build, fn_train)
    return Queue.from_algorithm(algorithm.id, cut.id)


X = [0.1, 0.5, 0.2, 0.9]


@pytest.mark.parametrize(
    ("data", "analysis_type", "message"),
    [
        ({"x": X, "y": [0.1, 1.2, 0.4, 1.3]}, "classification_binary", "Use 'regression'"),
        ({"x": X, "y": ["a", "b", "a", "b"]}, "regression", "dtype is 'str'"),
        ({"x": X, "y": ["a", "b", "a", "b"]}, "classification_binary", "Attach a LabelCoder"),
        ({"x": X, "y": [0, 1, 2, 2]}, "classification_binary", "has 3 classes"),
        ({"x": X, "y": [1, 1, 1, 1]}, "classification_binary", "has one class, 1"),
        ({"x": ["u", "v", "u", "v"], "y": [0, 1, 0, 1]}, "classification_binary", "FeatureCoder"),
    ],
)
def test_a_label_that_cannot_be_learned_so_is_refused(
    home: Path, data: dict, analysis_type: str, message: str
) -> None:
    """A07, B50: before anything is trained."""
    with pytest.raises(AlgorithmError, match=message):
        _queue_for(pd.DataFrame(data), analysis_type)
    assert Queue.select().count() == 0


def test_a_hyperparamset_of_another_algorithm_is_refused(home: Path) -> None:
    one, two = (
        Algorithm.make("pytorch", "classification_binary", fn_build, fn_train) for _ in range(2)
    )
    combos = Hyperparamset.from_algorithm(one.id, {"neurons": [2]})
    with pytest.raises(AlgorithmError, match=f"belongs to Algorithm {one.id}"):
        Queue.from_algorithm(two.id, splitset().id, hyperparamset_id=combos.id)


def test_an_algorithm_shows_its_code_and_refuses_what_is_unknown(home: Path) -> None:
    algorithm = Algorithm.make("pytorch", "classification_binary", fn_build, fn_train)
    code = Algorithm.get_code(algorithm.id)
    assert code["fn_build"].startswith("def fn_build(")
    assert code["fn_predict"] is None
    for library, analysis in (("jax", "regression"), ("keras", "clustering")):
        with pytest.raises(AlgorithmError, match="is none of"):
            Algorithm.make(library, analysis, fn_build, fn_train)


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import test_queue
from aiqc_core.orm import Queue
from aiqc_core.orm.training import run

record = run.record
def record_then_die(job, attempt, outcome):
    record(job, attempt, outcome)
    if Queue.get_by_id({queue}).runs_completed == 2:
        os.kill(os.getpid(), signal.SIGKILL)
run.record = record_then_die
Queue.get_by_id({queue}).run_jobs(progress=False)
"""


@pytest.mark.slow
def test_a_killed_run_is_finished_by_the_next_one(home: Path) -> None:
    """B08, B15, B64: what was recorded is not trained again, the rest is, as if never killed."""
    row, whole = queue(repeat_count=2), queue(repeat_count=2)
    whole.run_jobs(progress=False)
    before = Predictor.select().count()
    code = textwrap.dedent(KILLED.format(tests=str(Path(__file__).parent), queue=row.id))
    done = subprocess.run([sys.executable, "-c", code], check=False, env=dict(os.environ))
    assert done.returncode == -signal.SIGKILL
    kept = [p.id for p in Predictor.select()][before:]
    assert len(kept) == 2
    summary = row.run_jobs(progress=False)
    assert (summary.trained, summary.found) == (6, 2)
    assert kept == [p.id for p in Predictor.select()][before : before + 2]
    assert row.runs_completed == row.total_runs == 8
    expected, found = predictions(whole), predictions(row)
    assert expected.keys() == found.keys()
    for key, probabilities in expected.items():
        np.testing.assert_array_equal(found[key], probabilities)
