"""A prediction traced back: each fact against the rows, by hand."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import inference_setups as setups
import numpy as np
import pytest
from typer.testing import CliRunner

from aiqc_core.cli.app import app
from aiqc_core.errors import SelectionError
from aiqc_core.orm import Dataset, Feature, Label, Predictor, Splitset

if TYPE_CHECKING:
    from pathlib import Path

RUN = CliRunner()


@pytest.fixture
def folded(home: Path) -> tuple[Predictor, Splitset, Any]:
    """Train one model a fold on scaled numbers and words; return that of fold 1."""
    splitset, frame = setups.tabular("y", fold_count=2)
    setups.trained(splitset, "classification_binary", setups.sigmoid_build)
    return Predictor.get_by_id(2), splitset, frame


def test_a_sample_leads_to_prediction_truth_rows_and_training(
    folded: tuple[Predictor, Splitset, Any],
) -> None:
    predictor, splitset, frame = folded
    fold, prediction = splitset.ordered_folds[1], predictor.prediction
    for split, samples in fold.samples.items():
        for index in (0, len(samples) - 1):
            sample = samples[index]
            found = prediction.trace(index, split)
            assert found == prediction.trace(sample)
            assert (found.split, found.index, found.sample) == (split, index, sample)
            assert found.predicted == prediction.predictions[split][index]
            assert found.truth == frame["y"][sample]
            assert [(r.used_as, r.dataset, r.first, r.last) for r in found.rows] == [
                ("feature 0", 1, sample, sample),
                ("label", 1, sample, sample),
            ]
            up = float(prediction.probabilities[split][index])
            assert found.probabilities == pytest.approx({"down": 1 - up, "up": up})
            assert found.trained_on == (split == "folds_train_combined")
    trained = fold.samples["folds_train_combined"]
    assert (found.training.positions, found.training.count) == (trained, len(trained))
    assert found.training.rows == len(trained)


def test_the_model_its_coders_and_its_code_are_reported(
    folded: tuple[Predictor, Splitset, Any],
) -> None:
    predictor, splitset, frame = folded
    found = predictor.prediction.trace(0)
    model = found.model
    assert (model.predictor, model.job, model.key, model.fold) == (2, 2, "f1_default", 1)
    assert (model.seed, model.versions) == (predictor.seed, predictor.versions)
    assert model.seed == predictor.job.seed(0)
    assert model.adopted_from is None
    scaler, words = found.learned["feature 0"]
    taught = frame.iloc[splitset.ordered_folds[1].samples["folds_train_combined"]][["a", "b"]]
    assert scaler["learned"]["mean_"] == pytest.approx(taught.mean().tolist())
    assert scaler["learned"]["scale_"] == pytest.approx(taught.std(ddof=0).tolist())
    assert words["learned"]["categories_"] == [["blue", "green", "red"]]
    assert [step["fitted_on"] for step in found.coders["feature 0"]] == [
        "training rows",
        "all rows",
    ]
    algorithm = predictor.job.queue.algorithm
    assert {c.role: c.text for c in found.code} == {
        role: text for role, text in algorithm.get_code().items() if text
    }
    payload = algorithm.payloads()["fn_build"] or b""
    assert found.code[0].sha256 == hashlib.sha256(payload).hexdigest()


def test_a_window_leads_to_its_rows_and_to_those_it_forecasts(home: Path) -> None:
    splitset = setups.windowed()
    predictor = setups.trained(splitset, "regression", setups.flat_build)
    window = splitset.features[0].windows[0]
    sample = splitset.samples["test"][1]
    found = predictor.prediction.trace(1, "test")
    (rows,) = found.rows
    past, future = window.samples_unshifted[sample], window.samples_shifted[sample]
    assert list(range(rows.first, rows.last + 1)) == past
    assert list(range(rows.target_first or 0, (rows.target_last or 0) + 1)) == future
    assert found.truth == setups.waves().to_numpy()[future].tolist()
    under = {
        row
        for s in splitset.samples["train"]
        for row in (*window.samples_unshifted[s], *window.samples_shifted[s])
    }
    assert found.training.rows == len(under)
    gap = min(set(range(window.window_count)).difference(*splitset.samples.values()))
    with pytest.raises(SelectionError, match=rf"sample {gap} is in no split .* gap of 6"):
        predictor.prediction.trace(gap)


def test_new_data_is_traced_to_its_own_rows_and_the_training_of_the_model(
    folded: tuple[Predictor, Splitset, Any],
) -> None:
    predictor = folded[0]
    new = Dataset.Tabular.from_df(setups.rows(6, seed=3))
    feature = Feature.from_dataset(new.id, include_columns=["a", "b", "c"])
    label = Label.from_dataset(new.id, "y")
    inferred = Splitset.make([feature.id], label.id, predictor_id=predictor.id).infer()
    found = inferred.trace(4)
    assert (found.split, found.sample, found.trained_on) == ("infer_0", 4, None)
    assert found.rows[0].dataset == new.id
    assert found.truth == setups.rows(6, seed=3)["y"][4]
    assert found.sources[0].dataset == 1
    assert found.training.positions == predictor.job.fold.samples["folds_train_combined"]


def test_a_source_file_that_changed_or_went_is_reported(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "numbers.csv"
    frame = setups.rows(20)[["a", "b", "t"]]
    frame.to_csv(file, index=False)
    dataset = Dataset.Tabular.from_path(file)
    feature = Feature.from_dataset(dataset.id, include_columns=["a", "b"])
    label = Label.from_dataset(dataset.id, "t")
    splitset = Splitset.make([feature.id], label.id, size_test=0.25, seed=1)
    prediction = setups.trained(splitset, "regression", setups.flat_build).prediction
    (source,) = prediction.trace(0).sources
    assert (source.place, source.sha256) == (str(file), dataset.sha256_hexdigest)
    assert (source.matches, source.note, source.ingested) == (True, None, True)
    frame.assign(a=0.0).to_csv(file, index=False)
    (source,) = prediction.trace(0).sources
    assert source.matches is False
    assert "content has changed" in str(source.note)
    file.unlink()
    assert prediction.trace(0).sources[0].matches is False
    assert prediction.trace(0, check_source=False).sources[0].matches is None
    assert prediction.trace(0).truth == frame["t"][0]  # the store holds it


def test_the_command_prints_and_gives_json_without_nan(
    folded: tuple[Predictor, Splitset, Any],
) -> None:
    done = RUN.invoke(app, ["trace", "2", "--row", "1", "--split", "test"])
    assert done.exit_code == 0, done.output
    sample = folded[1].samples["test"][1]
    assert f"Prediction 2, test 1 of 10: sample {sample}" in done.output
    assert f"Dataset 1, row {sample}" in done.output
    assert "StandardScaler learned" in done.output

    def refuse(token: str) -> None:
        raise AssertionError(token)

    shown = RUN.invoke(app, ["trace", "2", "--row", "1", "--split", "test", "--json"])
    reported = json.loads(shown.output, parse_constant=refuse)
    assert reported["sample"] == sample
    assert np.all(
        reported["training"]["positions"] == folded[0].job.fold.samples["folds_train_combined"]
    )


def test_what_is_not_there_is_named_with_exit_code_2(
    folded: tuple[Predictor, Splitset, Any],
) -> None:
    wrong = {
        "9 --row 0": "Prediction: no row has id 9",
        "2 --row 40": "Prediction 2 has 40 samples; give 0 to 39",
        "2 --row 10 --split test": "has 10 samples; give 0 to 9",
        "2 --row 0 --split tset": "'tset'; Prediction 2 is of the splits",
        "2": "--row",
    }
    for arguments, said in wrong.items():
        done = RUN.invoke(app, ["trace", *arguments.split()])
        assert done.exit_code == 2
        assert said in done.output
