"""The chosen metric ranks, whoever asks; what no metric can rank is said."""

from __future__ import annotations

import inspect
import json
import logging
import math
import warnings
from typing import TYPE_CHECKING, Any

import lines
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from small_experiment import declare, source
from typer.testing import CliRunner

from aiqc_core.cli.app import app
from aiqc_core.errors import AlgorithmError, DeclarationError, SelectionError, TrainingError
from aiqc_core.experiment import Experiment, workflow
from aiqc_core.orm import Dataset, Hyperparamset, MedianPruner, Predictor, Queue
from aiqc_core.orm.results import leaderboard
from aiqc_core.orm.training import search as searching
from aiqc_core.orm.training.measure import Measure
from aiqc_core.stages.evaluate.ranking import lower_is_better
from aiqc_core.stages.train.search import pruning
from aiqc_core.utils import meter

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


def fn_train(
    model: Any, loser: Any, optimizer: Any, x: Any, y: Any, eval_x: Any, eval_y: Any, **hp: Any
) -> Any:
    """Epochs as asked for, the first of them as good as the rest."""
    from aiqc_core.utils.pytorch import TrainingCallback, fit

    wanted = [{"metric": "loss", "cutoff": hp.get("cutoff", -1.0), "above_or_below": "below"}]
    return fit(
        model, loser, optimizer, x, y, eval_x, eval_y, epochs=hp["epochs"], batch_size=16,
        callbacks=[TrainingCallback.MetricCutoff(wanted)],
    )  # fmt: skip


class Never:
    """Stops every training after its second epoch, and no combination between folds."""

    def keep(self, history: Any, rivals: Any) -> bool:
        """Go on for one epoch."""
        del rivals
        return len(history["loss"]) < 2

    def keep_folds(self, scores: Any, rivals: Any) -> bool:
        """Go on."""
        del scores, rivals
        return True


def imbalanced() -> pd.DataFrame:
    """Labels of which one class is rare, so that accuracy and ROC AUC order models differently."""
    frame = source(120)
    return frame.assign(y=np.where(frame["x"] > 1.2, "up", "down"))


@pytest.fixture
def ranked(home: Path) -> Queue:
    """A trained Queue that is ranked by the area under the curve."""
    return workflow.run(declare(metric="roc_auc", source=imbalanced), snapshot="s1")


def shown(*arguments: str) -> dict[str, Any]:
    """What a command prints with --json; NaN would be no JSON."""
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.output, parse_constant=pytest.fail)


def test_every_door_ranks_by_the_declared_metric(ranked: Queue) -> None:
    table = ranked.metrics_df().query("split == 'fold_validation'")
    means = table.groupby("epochs")["roc_auc"].mean()
    assert Queue.get_by_id(ranked.id).metric == "roc_auc"
    assert ranked.compare_best().metric == "roc_auc"
    assert ranked.plot_performance(call_display=False).layout.yaxis.title.text == "roc_auc"
    found = shown("leaderboard", "updown")
    assert (found["metric"], found["direction"], found["queue"]) == (
        "roc_auc",
        "higher",
        ranked.id,
    )
    assert found["best"]["hyperparameters"]["epochs"] == means.idxmax()
    assert found["best"]["scores"]["fold_validation"] == pytest.approx(means.max())
    assert found["snapshot"] == "s1"
    assert {p["predictor_id"] for p in found["predictors"]} == set(table["predictor_id"])
    assert found["champion"] is None
    row, _ = workflow.crown(declare(metric="roc_auc", source=imbalanced), "s1")
    best = table[table["epochs"] == means.idxmax()]
    assert row.predictor_id == best.loc[best["roc_auc"].idxmax(), "predictor_id"]
    assert shown("leaderboard", "updown")["champion"]["predictor_id"] == row.predictor_id
    split = ranked.splitset.folds[0].positions()["fold_validation"]
    first = Predictor.get_by_id(table["predictor_id"].iloc[0]).prediction
    truth = imbalanced()["y"].to_numpy()[split] == "up"
    assert table["roc_auc"].iloc[0] == pytest.approx(
        roc_auc_score(truth, first.probabilities["fold_validation"])
    )


def test_a_metric_that_is_named_in_the_call_wins(ranked: Queue) -> None:
    assert ranked.compare_best("f1").metric == "f1"
    figure = ranked.plot_performance(call_display=False, score_type="precision")
    assert figure.layout.yaxis.title.text.startswith("precision")
    found = shown("leaderboard", "updown", "--metric", "loss")
    assert (found["metric"], found["direction"]) == ("loss", "lower")
    done = CliRunner().invoke(app, ["leaderboard", "updown", "--metric", "roc_au"])
    assert done.exit_code == 1
    assert "Did you mean 'roc_auc'?" in done.output


def test_another_metric_ranks_the_same_models_and_trains_none_again(ranked: Queue) -> None:
    before = Predictor.select().count()
    again = workflow.run(declare(metric="f1", source=imbalanced), snapshot="s1")
    assert (again.id, Predictor.select().count()) == (ranked.id, before)
    assert shown("leaderboard", "updown")["metric"] == "f1"
    plain = workflow.run(declare(source=imbalanced), snapshot="s1")
    assert plain.metric is None
    assert shown("leaderboard", "updown")["metric"] == "accuracy"


def test_a_snapshot_keeps_its_metric_when_the_declaration_of_its_queue_is_edited(
    ranked: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="aiqc_core"):
        for key, metric in (("s2", "loss"), ("s3", None)):
            later = workflow.run(declare(metric=metric, source=imbalanced), snapshot=key)
            assert (later.id, later.metric) == (ranked.id, metric)
    assert "no longer by roc_auc" in caplog.text
    named = {key: shown("leaderboard", "updown", "--snapshot", key) for key in ("s1", "s2", "s3")}
    assert [found["metric"] for found in named.values()] == ["roc_auc", "loss", "accuracy"]
    table = ranked.metrics_df().query("split == 'fold_validation'").set_index("predictor_id")
    for key, metric, sign in (("s1", "roc_auc", 1), ("s2", "loss", -1)):
        best = named[key]["best"]["predictor_ids"]
        promoted = workflow.promote("updown", key).predictor_id
        assert promoted == (sign * table.loc[best, metric]).idxmax()


def test_the_text_calls_the_best_best_and_the_champion_in_force_by_its_name(
    ranked: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    workflow.promote("updown", "s1", 1)
    reported = CliRunner().invoke(app, ["leaderboard", "updown"]).output
    assert "roc_auc of 4 of 4 models" in reported
    assert "Snapshot s1, Queue 1; of roc_auc higher is better." in reported
    assert "Best by mean validation roc_auc over 2 model(s)" in reported
    assert "Champion in force: Predictor 1" in reported
    assert reported.count("Champion") == 1


def queue_of(metric: object = None, space: dict[str, Any] | None = None, **search: Any) -> Queue:
    """A Queue over rows of `lines`, ranked by a metric."""
    plain = lines.queue({"weight": [1.0, 2.0]} if space is None else space, **search)
    return Queue.from_algorithm(
        plain.algorithm.id, plain.splitset.id, hyperparamset_id=plain.hyperparamset.id,
        metric=metric, seed=1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "reported"),
    [
        ("accuracy", "metric: 'accuracy' is no metric of a regression"),
        ("R2", "Did you mean 'r2'?"),
        ("r2_decoded", "is no metric of a regression"),  # its label has no encoder
        (3, "metric: 3 is no metric"),
    ],
)
def test_a_metric_that_is_none_is_refused_before_anything_is_written(
    home: Path, metric: Any, reported: str
) -> None:
    plain = lines.queue({"weight": [1.0, 2.0]})
    with pytest.raises(AlgorithmError) as raised:
        Queue.from_algorithm(plain.algorithm.id, plain.splitset.id, metric=metric)
    assert reported in str(raised.value)
    assert Queue.select().count() == 1


def test_an_experiment_refuses_it_too_and_says_what_was_meant() -> None:
    with pytest.raises(DeclarationError, match="Did you mean 'roc_auc'"):
        declare(metric="rocauc")


def test_the_bar_and_the_search_go_by_the_metric_of_the_queue(home: Path) -> None:
    queue = queue_of("mae")
    summary = queue.run_jobs(progress=False)
    judged = queue.metrics_df().query("split == 'fold_validation'")
    assert summary.best == pytest.approx(judged["mae"].min())
    algorithm, cut = queue.algorithm, queue.splitset
    space = Hyperparamset.from_algorithm(
        algorithm.id, {"weight": {"low": 0.0, "high": 4.0}}, search="tpe", search_count=2, seed=1
    )
    asked = Queue.from_algorithm(algorithm.id, cut.id, hyperparamset_id=space.id, metric="mae")
    asked.run_jobs(progress=False)
    judged = asked.metrics_df().query("split == 'fold_validation'")
    means = judged.groupby("hyperparamcombo_id")["mae"].mean()
    for trial, combo in zip(searching.trials(asked), searching.trial_ids(asked), strict=True):
        assert trial.scores[-1] == pytest.approx(means[combo])


@pytest.mark.parametrize(
    ("metric", "history", "keeps"),
    [
        ("roc_auc", {"val_loss": [0.1], "val_BinaryAUROC": [0.4]}, False),
        ("mae", {"val_loss": [0.9], "val_mean_absolute_error": [0.1]}, True),
        ("mae", {"val_loss": [0.9], "val_mean_absolute_error": [0.9]}, False),
        ("f1", {"val_loss": [0.1], "val_accuracy": [0.4]}, True),  # no f1: the loss is watched
    ],
)
def test_a_pruner_watches_what_the_queue_is_ranked_by(
    *, metric: str, history: dict[str, list[float]], keeps: bool
) -> None:
    rivals = [{name: [0.5] for name in history}] * 3
    pruner = pruning.watch_metric(MedianPruner(min_epochs=1), metric)
    assert pruner.keep(history, rivals) is keeps
    named = MedianPruner(metric="val_loss")
    assert pruning.watch_metric(named, metric) is named


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("val_MeanAbsoluteError", True), ("categorical_crossentropy", True), ("val_loss", True),
        ("kl_divergence", True), ("BinaryAUROC", False), ("val_accuracy_1", False), ("r2", False),
        ("rmse_decoded", True),
    ],
)  # fmt: skip
def test_columns_of_a_history_know_which_way_is_up(*, name: str, expected: bool) -> None:
    assert lower_is_better(name) is expected


def test_meter_names_what_figures_and_tables_take(ranked: Queue) -> None:
    table = ranked.metrics_df(selected_metrics=list(meter.metrics_classify))
    assert list(table.columns[-6:]) == list(meter.metrics_classify)
    for name in meter.metrics_classify:
        assert ranked.plot_performance(call_display=False, score_type=name)
    regression = queue_of("rmse")
    regression.run_jobs(progress=False)
    assert set(meter.metrics_regress) <= set(regression.metrics_df().columns)
    for name in meter.metrics_regress:
        assert regression.plot_performance(call_display=False, score_type=name)


def test_tables_show_the_hyperparameters_that_vary_before_the_metrics(ranked: Queue) -> None:
    table = ranked.metrics_df(selected_metrics=["loss"])
    assert list(table.columns[:5]) == [
        "hyperparamcombo_id", "fold_index", "job_id", "predictor_id", "split",
    ]  # fmt: skip
    assert list(table.columns[-2:]) == ["epochs", "loss"]
    for _, row in table.iterrows():
        predictor = Predictor.get_by_id(row["predictor_id"])
        assert row["epochs"] == predictor.job.hyperparameters["epochs"]
    assert "epochs" in ranked.metricsAggregate_df().columns
    assert "epochs" not in ranked.metrics_df(hyperparameters=False).columns


def test_a_hyperparameter_called_like_a_metric_keeps_out_of_its_way(home: Path) -> None:
    queue = queue_of(space={"weight": [2.0], "loss": [1, 2]})
    queue.run_jobs(progress=False)
    table = queue.metrics_df()
    assert set(table["hyperparameter_loss"]) == {1, 2}
    assert table["loss"].max() < 1e-6


def test_what_a_pruner_cut_short_is_counted_and_marked(home: Path, caplog: Any) -> None:
    hyperparameters = {"epochs": [1, 2, 6], "cutoff": [-1.0, 9.0]}
    training = declare().training.model_copy(
        update={"fn_train": fn_train, "hyperparameters": hyperparameters}
    )
    experiment = declare(training=training, fold_count=None)
    with caplog.at_level(logging.INFO, logger="aiqc_core"):
        queue = experiment.run(pruner=Never(), progress=False, snapshot="s1")
    ends = {
        (p.job.hyperparameters["epochs"], p.job.hyperparameters["cutoff"]): p.stopped
        for p in Predictor.select()
    }
    assert ends == {
        (1, -1.0): None, (1, 9.0): None,  # one epoch was asked for
        (2, -1.0): None, (2, 9.0): "callback",  # its last epoch is no cut
        (6, -1.0): "pruner", (6, 9.0): "callback",
    }  # fmt: skip
    assert (queue.runs_pruned, queue.runs_skipped, queue.runs_completed) == (1, 0, 6)
    table = queue.metrics_df().set_index(["epochs", "cutoff"])
    assert set(table.loc[(6, -1.0), "ended"]) == {"pruned"}
    assert set(table.loc[(6, 9.0), "ended"]) == {"own rule"}
    assert set(table.loc[(1, 9.0), "ended"]) == {""}
    assert "1 pruned (1 of them cut short, with a model)" in caplog.text
    found = shown("leaderboard", "updown")
    assert found["pruned"] == 1
    (cut,) = [p for p in found["predictors"] if p["stopped"] == "pruner"]
    assert cut["hyperparameters"] == {"epochs": 6, "cutoff": -1.0}
    assert workflow.jobs_present(experiment, "s1").verdict == "passed"
    again = queue.run_jobs(progress=False)
    assert (again.trained, again.pruned, again.skipped) == (0, 1, 0)


def test_keras_says_what_ended_a_training_early(home: Path) -> None:
    keras = pytest.importorskip("keras")
    from aiqc_core.stages.train.backends.base import get_backend

    backend = get_backend("keras")
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile(loss="mse")
    x = np.zeros((4, 1))
    for patience, early in ((0, True), (9, False)):
        stops = keras.callbacks.EarlyStopping("loss", patience=patience)
        model.fit(x, x, epochs=4, verbose=0, callbacks=[stops])
        assert backend.stopped_early(model) is early


def test_an_experiment_runs_with_all_that_a_queue_runs_with() -> None:
    queue = dict(inspect.signature(Queue(id=1).run_jobs).parameters)
    experiment = dict(inspect.signature(Experiment.run).parameters)
    assert {name: str(experiment[name]) for name in queue} == {
        name: str(one) for name, one in queue.items()
    }


@pytest.mark.parametrize(
    ("options", "reported"),
    [
        ({"pruner": "median"}, "pruner: 'median'"),
        ({"workers": 0}, "workers: 0"),
        ({"time_limit": -1}, "time_limit: -1"),
        ({"stack": "yes"}, "stack: 'yes'; give True or False"),
        ({"raise_on_error": 0}, "raise_on_error: 0; give True or False"),
    ],
)
def test_an_experiment_refuses_by_name_before_anything_is_written(
    home: Path, options: dict[str, Any], reported: str
) -> None:
    with pytest.raises(TrainingError) as raised:
        declare().run(**options)
    assert reported in str(raised.value)
    assert Dataset.select().count() == 0


@pytest.fixture
def undefined(home: Path) -> Queue:
    """A trained Queue of a constant target: r2 is NaN in every split."""
    queue = queue_of(space={"weight": [1.0, 3.0]}, cut={"fold_count": None})
    queue.run_jobs(progress=False)
    for predictor in Predictor.select():
        row = predictor.prediction
        row.metrics = {s: v | {"r2": math.nan} for s, v in row.metrics.items()}
        row.metric_notes = {s: {"r2": "the target is constant"} for s in row.metrics}
        row.save()
    return queue


def test_where_no_score_is_defined_the_losses_are_drawn_and_the_figure_says_why(
    undefined: Queue,
) -> None:
    figure = undefined.plot_performance(call_display=False)
    reported = figure.layout.title.subtitle.text
    assert "r2 is undefined for every model: the target is constant" in reported
    drawn = sorted(x for trace in figure.data if trace.name for x in trace.x)
    assert drawn == pytest.approx(sorted(undefined.metrics_df()["loss"]))
    limited = undefined.plot_performance(call_display=False, max_loss=1e9)
    assert "r2 is undefined" in limited.layout.title.subtitle.text
    with pytest.raises(SelectionError, match="none of 2 models is left"):
        undefined.plot_performance(min_score=0.5)


def test_where_no_score_is_defined_none_leads_and_it_is_said(undefined: Queue) -> None:
    measure = Measure.of_queue(undefined)
    trained = leaderboard.entries(undefined, measure.metric)
    why = leaderboard.why_undefined(trained, measure.metric, measure.split)
    assert why is not None
    assert "r2" in why
    assert "the target is constant" in why
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = undefined.compare_best()
    assert (found.best, found.second) == (None, None)
    reported = "Cannot tell because r2 on test is undefined for all 2 models, so none leads"
    assert found.verdict.startswith(f"{reported}: the target is constant; weight=")


def linear(features_shape: tuple[int], label_shape: tuple[int], **hp: Any) -> Any:
    """Linear regression."""
    from torch import nn

    return nn.Linear(features_shape[0], label_shape[0])


def test_a_metric_in_the_labels_own_units_may_lead(home: Path) -> None:
    given = declare()
    pipeline = given.pipeline.model_copy(
        update={"label": "z", "features": ["x"], "label_encoder": StandardScaler()}
    )
    update = {"analysis_type": "regression", "fn_build": linear}
    experiment = declare(
        metric="mae_decoded", pipeline=pipeline, training=given.training.model_copy(update=update)
    )
    queue = workflow.run(experiment, snapshot="s1", progress=False)
    judged = queue.metrics_df().query("split == 'fold_validation'")
    means = judged.groupby("epochs")["mae_decoded"].mean()
    found = shown("leaderboard", "updown")
    assert (found["metric"], found["direction"]) == ("mae_decoded", "lower")
    assert found["best"]["hyperparameters"]["epochs"] == means.idxmin()
    champion, _ = workflow.crown(experiment, "s1")
    split = champion.predictor.job.fold.positions()["fold_validation"]
    errors = source()["z"].to_numpy()[split] - np.ravel(
        champion.predictor.prediction.predictions["fold_validation"]
    )
    best = judged.set_index("predictor_id")["mae_decoded"][champion.predictor_id]
    assert best == pytest.approx(np.abs(errors).mean())
    later = experiment.model_copy(update={"seed": 8})
    workflow.run(later, snapshot="s2", progress=False)
    _, result = workflow.crown(later, "s2")
    assert result.contest
    assert result.contest.metric == "mae"
