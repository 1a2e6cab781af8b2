"""A declared experiment walked through the metastore, without Dagster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import LabelBinarizer, MinMaxScaler, StandardScaler
from small_experiment import declare, fn_train, source

from aiqc_core.errors import (
    AlgorithmError,
    DeclarationError,
    IngestError,
    NotFoundError,
    TrainingError,
)
from aiqc_core.experiment import (
    FeatureEncoder,
    Interpolation,
    Labelled,
    Pipeline,
    Training,
    Windowing,
    workflow,
)
from aiqc_core.orm import Algorithm, Dataset, Feature, Queue, Snapshot, Splitset
from aiqc_core.orm.results import leaderboard

if TYPE_CHECKING:
    from pathlib import Path


def test_ten_lines_train_an_experiment(home: Path) -> None:
    experiment = declare()
    queue = workflow.run(experiment, snapshot="s1")
    assert queue.runs_completed == queue.total_runs == 4
    assert sorted(job.key for job in queue.jobs) == sorted(experiment.job_keys())


def test_walking_again_finds_every_row(home: Path) -> None:
    first = workflow.prepare(declare(), "s1")
    again = workflow.prepare(declare(), "s2")
    assert first.id == again.id
    tables = (Dataset, Feature, Splitset, Algorithm, Queue)
    assert [table.select().count() for table in tables] == [1] * 5
    assert Snapshot.of("updown", "s1").rows == Snapshot.of("updown", "s2").rows


def test_new_content_gives_a_new_version_and_a_new_queue(home: Path) -> None:
    first = workflow.prepare(declare(), "s1")
    second = workflow.prepare(declare(source=lambda: source(61)), "s2")
    assert second.id != first.id
    assert [row.version for row in Dataset.select()] == [1, 2]
    assert Algorithm.select().count() == 1


def test_a_changed_encoder_changes_what_follows_it_only(home: Path) -> None:
    workflow.prepare(declare(), "s1")
    workflow.prepare(declare(scaler=MinMaxScaler()), "s1")
    assert Dataset.select().count() == 1
    assert Feature.select().count() == Splitset.select().count() == Queue.select().count() == 2


def test_seeds_follow_from_content(home: Path) -> None:
    """The same combination keeps its seed when the grid around it grows."""
    few, more = (
        workflow.prepare(declare(), "s1"),
        workflow.prepare(declare(epochs=(1, 2, 4)), "s1"),
    )
    seeds = [{job.key: job.seed(0) for job in queue.jobs} for queue in (few, more)]
    assert seeds[0].items() < seeds[1].items()
    assert len(set(seeds[1].values())) == 6


def test_a_stage_before_its_turn_names_what_to_do_first(home: Path) -> None:
    with pytest.raises(NotFoundError, match=r"has no splitset yet; materialise updown/splitset"):
        workflow.queue(declare(), "s1")


def test_an_unknown_job_lists_those_there_are(home: Path) -> None:
    experiment = declare()
    workflow.prepare(experiment, "s1")
    with pytest.raises(TrainingError, match=experiment.job_keys()[0]):
        workflow.jobs(experiment, "s1", ["f9_00000000"])


def test_a_source_that_gives_no_frame_is_named(home: Path) -> None:
    with pytest.raises(IngestError, match="source of 'updown': gave list"):
        workflow.dataset(declare(source=lambda: [1, 2]), "s1")
    assert Dataset.select().count() == 0


def test_a_source_can_be_a_file(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    source().to_csv(path, index=False)
    row = workflow.dataset(declare(source=path), "s1")
    assert (row.source_format, row.source_path, row.version) == ("csv", str(path), 1)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"name": "Up Down"}, DeclarationError, "name"),
        ({"nmae": "x"}, DeclarationError, "nmae"),
        ({"seed": -1}, DeclarationError, "seed"),
        ({"epochs": ()}, AlgorithmError, "epochs"),
    ],
)
def test_a_faulty_declaration_is_refused_when_it_is_made(
    changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises((error, DeclarationError), match=message):
        declare(**changes)


def entry(combo: str, **scores: float) -> leaderboard.Entry:
    """Make an entry with the scores of one model."""
    return leaderboard.Entry(1, f"f0_{combo}", combo, {"c": combo}, 0, scores, 1.0, None)


def test_the_champion_is_chosen_by_validation_and_never_by_test() -> None:
    ranked = leaderboard.standings(
        [
            entry("a", validation=0.8, test=1.0),
            entry("b", validation=0.9, test=0.1),
            entry("a", validation=0.9, test=1.0),
            entry("c", validation=float("nan"), test=1.0),
        ],
        judged_on="validation",
    )
    assert [s.combo_key for s in ranked] == ["b", "a", "c"]
    assert ranked[1].models == 2
    assert ranked[1].scores["validation"] == pytest.approx(0.85)


def test_an_array_with_labels_of_its_own_is_two_datasets(home: Path) -> None:
    labels = pd.DataFrame({"kind": ["a", "b"] * 10})
    experiment = declare(
        source=lambda: Labelled(np.arange(20 * 3 * 2.0).reshape(20, 3, 2), labels),
        pipeline=Pipeline(
            label="kind",
            label_encoder=LabelBinarizer(),
            feature_encoders=[FeatureEncoder(encoder=StandardScaler())],
            reshape_indices=[0, "1", 1, 2],
            size_test=0.2,
        ),
    )
    queue = workflow.prepare(experiment, "s1")
    assert [(row.typ, row.name) for row in Dataset.select()] == [
        ("sequence", "updown"),
        ("tabular", "updown/label"),
    ]
    assert queue.splitset.fetch_cache("train", "features").shape == (16, 1, 3, 2)
    assert workflow.prepare(experiment, "s2").id == queue.id


def test_a_forecast_learns_the_future_in_its_own_units(home: Path) -> None:
    """Unsupervised: filled, windowed, scaled, trained and decoded."""
    wave = np.sin(np.arange(200) / 5) * 100 + 1000
    wave[[7, 8, 90]] = np.nan
    experiment = declare(
        source=lambda: pd.DataFrame({"level": wave}),
        pipeline=Pipeline(
            interpolations=[Interpolation(interpolate_kwargs={"method": "linear"})],
            feature_encoders=[FeatureEncoder(encoder=StandardScaler())],
            window=Windowing(size_window=12, size_shift=4),
            size_test=0.2,
            time_ordered=True,
            gap=4,
        ),
        training=Training(
            library="pytorch",
            analysis_type="regression",
            fn_build=fn_forecast,
            fn_train=fn_train,
            hyperparameters={"epochs": [60]},
        ),
    )
    queue = workflow.run(experiment, snapshot="s1")
    (predictor,) = queue.jobs[0].predictors
    (prediction,) = predictor.predictions
    test = queue.splitset.positions()["test"]
    window = queue.splitset.features[0].windows[0]
    truth = np.array([wave[window.samples_shifted[i]] for i in test])[..., None]
    said = prediction.predictions["test"]
    assert said.shape == truth.shape == (len(test), 12, 1)
    error = np.abs(said - truth).mean()
    assert prediction.metrics["test"]["mae_decoded"] == pytest.approx(error)
    assert error < 30
    assert predictor.label_shape == (12, 1)
    assert set(prediction.feature_importance[str(queue.splitset.feature_ids[0])]) == {"level"}


def fn_forecast(features_shape: tuple[int, int], label_shape: tuple[int, int], **hp: Any) -> Any:
    """From one window to the next, linearly."""
    from torch import nn

    width = features_shape[0] * features_shape[1]
    return nn.Sequential(nn.Flatten(), nn.Linear(width, width), nn.Unflatten(1, label_shape))


def test_what_is_classified_needs_a_label() -> None:
    with pytest.raises(DeclarationError, match=r"training.analysis_type: .* without a label"):
        declare(pipeline=Pipeline(features=["x", "z"], size_test=0.2))
