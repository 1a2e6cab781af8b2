"""A13: a store that cannot be written exactly when hours of training are to be saved."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aiqc_core import config
from aiqc_core.errors import TrainingError, UnrecordedError
from aiqc_core.orm import (
    Algorithm,
    Attempt,
    Dataset,
    Feature,
    Hyperparamset,
    Label,
    Predictor,
    Queue,
    Splitset,
    metastore,
)
from aiqc_core.orm.training import run
from aiqc_core.orm.training.record import recover

SAMPLES = 40


def fn_build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    from torch import nn

    width = hp.get("width", 1)
    layers = nn.Linear(features_shape[0], width), nn.Linear(width, label_shape[0])
    return nn.Sequential(*layers, nn.Sigmoid())


def fn_train(
    model: Any, loser: Any, optimizer: Any, x: Any, y: Any, eval_x: Any, eval_y: Any, **hp: Any
) -> Any:
    """Count the trainings; then let the store be as the combination says."""
    from aiqc_core import config
    from aiqc_core.orm import metastore
    from aiqc_core.utils.pytorch import fit

    with (config.home() / "trained").open("a") as log:
        log.write(f"{hp}\n")
    history = fit(model, loser, optimizer, x, y, eval_x, eval_y, epochs=2, batch_size=16)
    if hp.get("pragma"):
        metastore.execute_sql(f"PRAGMA {hp['pragma']}")
    return history


def queue(**hyperparameters: list[Any]) -> Queue:
    x = np.random.default_rng(0).normal(size=SAMPLES)
    dataset = Dataset.Tabular.from_df(pd.DataFrame({"x": x, "y": (x > 0).astype(int)}))
    feature, label = Feature.from_dataset(dataset.id, "x"), Label.from_dataset(dataset.id, "y")
    cut = Splitset.make([feature.id], label.id, size_test=0.25, seed=1)
    algorithm = Algorithm.make("pytorch", "classification_binary", fn_build, fn_train)
    combos = Hyperparamset.from_algorithm(algorithm.id, {"run": [0], **hyperparameters})
    return Queue.from_algorithm(
        algorithm.id, cut.id, permute_count=0, hyperparamset_id=combos.id, seed=2
    )


def trainings() -> int:
    """How often fn_train was called in this store."""
    return len((config.home() / "trained").read_text().splitlines())


def make_writable() -> None:
    """End what a pragma of a combination began: it holds for one connection."""
    metastore.close()


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*")) if folder.exists() else []


@pytest.mark.parametrize(
    ("pragma", "reported"), [("query_only = 1", "readonly"), ("max_page_count = 1", "full")]
)
def test_what_was_trained_is_kept_and_recorded_by_the_next_run(
    home: Path, pragma: str, reported: str
) -> None:
    row = queue(pragma=[pragma], width=[30_000])  # 1 MB with the optimizer's state
    with pytest.raises(
        TrainingError, match=rf"(?s)is trained but .*{reported}.*kept in .*\.outcome"
    ):
        row.run_jobs(progress=False)
    (name,) = kept(home / "spill")
    assert name == f"{row.jobs[0].file_name(0)}.outcome"
    make_writable()
    assert Predictor.select().count() == 0
    summary = row.run_jobs(progress=False)
    assert (summary.found, summary.failures) == (1, [])
    assert trainings() == 1
    (predictor,) = row.jobs[0].predictors
    assert len(predictor.history["loss"]) == 2
    assert predictor.time_duration >= 0
    features = row.splitset.fetch_cache("test", "features", library="pytorch")
    found = predictor.get_model()[0](features).detach().numpy().ravel()
    np.testing.assert_array_equal(found, predictor.predictions[0].probabilities["test"])
    assert not (home / "spill").exists()
    assert row.jobs[0].attempts[0].status in {"succeeded", "lost"}


def test_where_the_store_cannot_hold_it_the_folder_for_temporary_files_does(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "elsewhere"))
    row = queue(pragma=["query_only = 1"])
    (home / "spill").write_text("no folder")
    with pytest.raises(TrainingError, match="elsewhere"):
        row.run_jobs(progress=False)
    (folder,) = (tmp_path / "elsewhere").iterdir()
    assert folder.stat().st_mode & 0o077 == 0  # for nobody else to read
    assert len(kept(folder)) == 1
    make_writable()
    assert row.run_jobs(progress=False).found == 1
    assert trainings() == 1
    assert not folder.exists()


def test_where_no_folder_can_hold_it_both_are_reported(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    row = queue(pragma=["query_only = 1"])
    (home / "spill").write_text("no folder")
    with pytest.raises(TrainingError, match=r"neither be recorded .*nor kept .*spill.*file"):
        row.run_jobs(progress=False)


@pytest.mark.slow
def test_others_in_flight_are_kept_too_and_none_is_started(home: Path) -> None:
    """On the pool the parent records, so it is the parent's connection that fails."""
    row = queue(run=[1, 2, 3, 4, 5, 6, 7, 8], width=[30_000])
    row.splitset.cache_samples()
    # Some pages more than there are: claims fit, models do not.
    metastore.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    (pages,) = metastore.execute_sql("PRAGMA page_count").fetchone()
    metastore.execute_sql(f"PRAGMA max_page_count = {pages + 9}")
    summary = row.run_jobs(workers=2, progress=False, raise_on_error=False)
    files = kept(home / "spill")
    assert len(files) == len(summary.failures) >= 1
    assert len(files) + summary.trained == trainings() < 8
    make_writable()
    again = row.run_jobs(progress=False)
    assert again.found == summary.trained + len(files)
    assert trainings() == row.runs_completed == 8


def test_who_deletes_the_file_trains_again(home: Path) -> None:
    """In the same process too, whose claim could not be given back in the store."""
    row = queue(pragma=["query_only = 1"])
    row.run_jobs(progress=False, raise_on_error=False)
    make_writable()
    (home / "spill" / kept(home / "spill")[0]).unlink()
    assert row.run_jobs(progress=False, raise_on_error=False).failures
    make_writable()
    assert trainings() == 2


def test_a_step_of_dagster_records_it_too(home: Path) -> None:
    row = queue(pragma=["query_only = 1"])
    with pytest.raises(UnrecordedError, match=r"run again: the file is recorded"):
        run.train_one(row.jobs[0], 0)
    make_writable()
    outcome = run.train_one(row.jobs[0], 0)
    assert outcome is not None
    assert outcome.model
    assert row.jobs[0].missing() == []
    assert trainings() == 1


def test_a_file_that_this_store_did_not_sign_is_never_unpickled(
    home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A15: the folder for temporary files is everybody's."""
    import pickle

    class Hostile:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "harmed"),)

    row = queue(pragma=[""])
    (home / "spill").mkdir()
    path = home / "spill" / f"{row.jobs[0].file_name(0)}.outcome"
    path.write_bytes(pickle.dumps(Hostile()))
    with caplog.at_level(logging.WARNING):
        assert row.run_jobs(progress=False).trained == 1
    assert "is not taken for a training of this store" in caplog.text
    assert not (tmp_path / "harmed").exists()


def test_a_file_of_another_seed_is_left_alone(home: Path, caplog: Any) -> None:
    """Such as that of a store which stood in this folder before."""
    row = queue(pragma=["query_only = 1"])
    row.run_jobs(progress=False, raise_on_error=False)
    make_writable()
    row.seed += 1
    row.save()
    assert recover(Queue.get_by_id(row.id).jobs[0], 0) is None
    assert "of another training" in caplog.text
    assert len(kept(home / "spill")) == 1


def test_ctrl_c_while_it_is_recorded_loses_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    row = queue(pragma=[""])
    with monkeypatch.context() as patched:
        patched.setattr("aiqc_core.orm.training.record._write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            row.run_jobs(progress=False)
    assert [attempt.status for attempt in Attempt.select()] == ["lost"]
    assert row.run_jobs(progress=False).found == 1
    assert trainings() == 1


LIMITED = """
import resource, signal, sys
sys.path.insert(0, {tests!r})
import test_outbox
from aiqc_core.orm import Queue
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
size = (test_outbox.config.home() / "aiqc.sqlite-wal").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 1_000_000, resource.RLIM_INFINITY))
Queue.get_by_id({queue}).run_jobs(progress=False)
"""


@pytest.mark.slow
def test_a_disk_that_fills_up_while_it_is_recorded(home: Path) -> None:
    """By the system's own limit: the write-ahead log may not grow past it, a small file may."""
    row = queue(width=[60_000])
    row.splitset.cache_samples()
    # A log that is longer than the file of one training, and is not begun again.
    reader = sqlite3.connect(config.database_path())
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM queue").fetchall()
    while (home / "aiqc.sqlite-wal").stat().st_size < 8_000_000:
        row.description = "x" * 500_000
        row.save()
    code = LIMITED.format(tests=str(Path(__file__).parent), queue=row.id)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    reader.close()
    assert done.returncode == 1
    assert re.search(r"TrainingError.*1 failed(?s:.*)(full|I/O error).*\.outcome", done.stderr)
    assert len(kept(home / "spill")) == 1
    assert row.run_jobs(progress=False).found == 1
    assert trainings() == 1
