"""A model trained again: bit-equal where nothing changed, else the stage that did is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import inference_setups as setups
import numpy as np
import pytest
from lineage_setups import untrained
from sklearn.preprocessing import StandardScaler
from typer.testing import CliRunner

from aiqc_core.cli.app import app
from aiqc_core.errors import TrainingError
from aiqc_core.orm import (
    Algorithm,
    Dataset,
    Feature,
    FeatureCoder,
    Hyperparamset,
    Label,
    Predictor,
    Queue,
    Splitset,
    metastore,
)
from aiqc_core.orm.lineage.reproduce import STAGES
from aiqc_core.orm.store import signing
from aiqc_core.orm.training.reuse import adopt
from aiqc_core.stages.train.functions.capture import capture

if TYPE_CHECKING:
    from aiqc_core.orm.lineage.reproduce import Reproduction

RUN = CliRunner()


def unseeded_train(
    model: Any, loser: Any, optimizer: Any, train_features: Any, train_label: Any,
    eval_features: Any, eval_label: Any, **hp: Any,
) -> Any:  # fmt: skip
    """Draw a weight from where no seed reaches."""
    import os

    import torch

    with torch.no_grad():
        next(model.parameters()).fill_(int.from_bytes(os.urandom(2), "big") / 10)
    return {}, model


def files(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file in a store; SQLite's index of its log is no content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith("-shm")
    }


def stages(found: Reproduction) -> dict[str, str]:
    """Return the verdict of each stage."""
    return {stage.name: stage.verdict for stage in found.stages}


def trained(dataset: Dataset, train: Any = untrained) -> Predictor:
    """Train on two scaled columns."""
    feature = Feature.from_dataset(dataset.id, include_columns=["a", "b"])
    FeatureCoder.from_feature(feature.id, StandardScaler())
    label = Label.from_dataset(dataset.id, "t")
    splitset = Splitset.make([feature.id], label.id, size_test=0.25, seed=1)
    return setups.trained(splitset, "regression", setups.flat_build, train)


@pytest.fixture
def predictor(home: Path) -> Predictor:
    """Return a model that learned nothing, on 20 rows."""
    return trained(Dataset.Tabular.from_df(setups.rows(20)))


@pytest.mark.slow
def test_on_the_cpu_a_fold_comes_out_bit_equal_and_the_store_stays_as_it_was(home: Path) -> None:
    splitset, _ = setups.tabular("y", gaps=True, fold_count=2)
    setups.trained(splitset, "classification_binary", setups.sigmoid_build)
    predictor = Predictor.get_by_id(2)
    metastore.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    before = files(home)
    metastore.execute_sql("PRAGMA query_only = 1")
    try:
        found = predictor.reproduce()
    finally:
        metastore.execute_sql("PRAGMA query_only = 0")
    assert files(home) == before
    assert (found.verdict, found.equal, found.first_difference) == ("bit-equal", True, None)
    assert (found.largest, found.moved_versions, found.notes) == (0.0, {}, [])
    assert stages(found) == dict.fromkeys(STAGES, "equal")
    assert found.seconds > 0


@pytest.mark.slow
def test_windows_and_several_features_and_adopted_models_come_out_again(home: Path) -> None:
    window = setups.trained(setups.windowed(), "regression", setups.flat_build)
    assert window.reproduce().verdict == "bit-equal"

    frame = setups.rows()
    table = Dataset.Tabular.from_df(frame)
    values = np.random.default_rng(0).normal(size=(40, 3, 2))
    series = Dataset.Sequence.from_numpy(values)
    features = [Feature.from_dataset(table.id, ["a", "b"]), Feature.from_dataset(series.id)]
    FeatureCoder.from_feature(features[1].id, StandardScaler())
    label = Label.from_dataset(table.id, "t")
    splitset = Splitset.make([f.id for f in features], label.id, size_test=0.25, seed=1)
    first = setups.trained(splitset, "regression", setups.two_build)
    old = first.job.queue
    queue = Queue.from_algorithm(old.algorithm_id, splitset.id, permute_count=0, seed=1)
    assert adopt(queue) == 1
    (copy,) = queue.jobs[0].predictors
    assert copy.reproduce().verdict == "bit-equal"


@pytest.mark.slow
def test_a_model_that_keras_trained_comes_out_again(home: Path) -> None:
    splitset, _ = setups.tabular("z")
    predictor = setups.trained(
        splitset, "classification_multi", setups.keras_build, setups.keras_train, "keras"
    )
    before = files(home)
    found = predictor.reproduce()
    assert found.equal, found
    assert found.largest is not None
    assert found.largest <= 1e-4
    assert files(home) == before


@pytest.mark.slow
def test_a_model_that_was_stacked_comes_out_within_the_tolerance(home: Path) -> None:
    splitset, _ = setups.tabular("y")
    algorithm = Algorithm.make(
        "pytorch", "classification_binary", setups.sigmoid_build, setups.torch_train
    )
    grid = Hyperparamset.from_algorithm(algorithm.id, {"rate": [0.1, 0.2]})
    queue = Queue.from_algorithm(
        algorithm.id, splitset.id, hyperparamset_id=grid.id, permute_count=0, seed=1
    )
    queue.run_jobs(stack=True, progress=False)
    found = queue.jobs[0].predictors[0].reproduce()
    assert found.verdict in {"bit-equal", "equal within tolerance"}
    assert found.largest is not None
    assert found.largest < 1e-4


@pytest.mark.slow
def test_what_no_seed_governs_differs_in_the_weights(home: Path) -> None:
    predictor = trained(Dataset.Tabular.from_df(setups.rows(20)), unseeded_train)
    predictor.versions |= {"torch": "1.0"}
    predictor.save(only=["versions"])
    done = RUN.invoke(app, ["reproduce", "1", "--json"])
    assert done.exit_code == 1
    reported = json.loads(done.output)
    assert (reported["verdict"], reported["first_difference"]) == ("different", "weights")
    assert reported["largest"] > 1e-4
    assert reported["moved_versions"]["torch"][0] == "1.0"
    assert reported["equal"] is False


def test_a_cached_sample_that_changed_is_named(predictor: Predictor) -> None:
    folder = Path(predictor.job.queue.splitset.cache_path)
    (file,) = folder.rglob("test/feature_0.npy")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    found = predictor.reproduce()
    assert (found.verdict, found.first_difference) == ("different", "samples")
    (stage,) = [s for s in found.stages if s.name == "samples"]
    assert "test/feature_0.npy[9]" in stage.note
    assert "clear_cache()" in stage.note
    assert stages(found)["weights"] == "not reached"


def test_code_that_is_not_what_its_text_says_is_named(predictor: Predictor) -> None:
    algorithm = predictor.job.queue.algorithm
    other = signing.seal(capture("fn_train", unseeded_train).payload)
    algorithm.fn_train = Algorithm.fn_train.store(other)
    algorithm.save(only=["fn_train"])
    found = Predictor.get_by_id(predictor.id).reproduce()
    assert found.first_difference == "code"
    (stage,) = [s for s in found.stages if s.name == "code"]
    assert "fn_train of Algorithm 1 is another function than its stored text" in stage.note


def test_code_that_this_store_did_not_sign_is_named(predictor: Predictor) -> None:
    algorithm = predictor.job.queue.algorithm
    sealed = bytearray(algorithm.fn_build)
    sealed[10] ^= 1
    algorithm.fn_build = Algorithm.fn_build.store(bytes(sealed))
    algorithm.save(only=["fn_build"])
    found = Predictor.get_by_id(predictor.id).reproduce()
    assert found.first_difference == "code"
    assert "is not signed by this store's key" in str(found.stages)


@pytest.mark.parametrize("table", [Predictor, Queue])
def test_a_seed_that_does_not_follow_is_named(predictor: Predictor, table: Any) -> None:
    row = table.get_by_id(1)
    row.seed += 1
    row.save(only=["seed"])
    found = Predictor.get_by_id(predictor.id).reproduce()
    assert found.first_difference == "seed"
    assert stages(found)["samples"] == "equal"


def test_samples_that_the_seed_did_not_cut_are_named(predictor: Predictor) -> None:
    splitset = predictor.job.queue.splitset
    samples = {split: np.asarray(rows) for split, rows in splitset.samples.items()}
    samples["train"][0], samples["test"][0] = samples["test"][0], samples["train"][0]
    splitset.samples = Splitset.samples.store(samples)
    splitset.save(only=["samples"])
    found = Predictor.get_by_id(predictor.id).reproduce()
    assert found.first_difference == "split"
    assert stages(found)["fit"] == "differs"  # the scaler learns from other rows now


def test_a_source_outside_of_the_store_that_changed_is_named(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    setups.rows(20).to_parquet(file)
    predictor = trained(Dataset.Tabular.from_path(file, ingest=False))
    changed = setups.rows(20)
    changed.loc[3, "a"] = 0.0
    changed.to_parquet(file)
    found = predictor.reproduce()
    assert found.first_difference == "source"
    assert "Dataset 1 was registered with SHA-256" in found.stages[0].note
    assert set(stages(found).values()) == {"differs", "not reached"}
    file.unlink()
    assert "cannot be read as it was registered" in predictor.reproduce().stages[0].note


def test_rows_that_were_changed_in_the_store_are_named(predictor: Predictor) -> None:
    dataset = Dataset.get_by_id(1)
    other = Dataset.Tabular.from_df(setups.rows(20, seed=9))
    dataset.blob = other.__data__["blob"]
    dataset.save(only=["blob"])
    assert Predictor.get_by_id(predictor.id).reproduce().first_difference == "source"


@pytest.mark.parametrize("tolerance", [-1.0, 1.0, True, float("nan")])
def test_a_tolerance_out_of_range_is_refused(predictor: Predictor, tolerance: Any) -> None:
    with pytest.raises(TrainingError, match=r"tolerance: .*from 0 to below 1"):
        predictor.reproduce(tolerance)


def test_the_command_says_that_there_is_no_such_model(home: Path) -> None:
    done = RUN.invoke(app, ["reproduce", "4"])
    assert (done.exit_code, "it is empty" in done.output) == (2, True)


def reading_only(store: Path) -> list[str]:
    """Return what goes before a command so that it cannot write to a store: root needs a mount."""
    if os.geteuid() != 0:
        for path in (*store.rglob("*"), store):
            path.chmod(0o555 if path.is_dir() else 0o444)
        return []
    mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    prefix = ["unshare", "--mount", "sh", "-c", mount, str(store)]
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    return prefix


@pytest.mark.slow
def test_the_program_works_on_a_store_that_it_cannot_write_to(home: Path, tmp_path: Path) -> None:
    trained(Dataset.Tabular.from_df(setups.rows(20)))
    metastore.close()
    before, program = files(home), str(Path(sys.executable).parent / "aiqc")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    aiqc = [*reading_only(home), program]
    try:
        for command, code, said in (
            ("reproduce 1", 0, "Predictor 1, trained again: bit-equal"),
            ("diff 1 2", 2, "no row has id 2"),
            ("trace 1 --row 0", 0, "Dataset 1"),
            ("seen 1 --row 0", 0, "Predictor 1"),
        ):
            done = subprocess.run(
                [*aiqc, *command.split()], capture_output=True, text=True, cwd=tmp_path,
                env={**os.environ, "TMPDIR": str(scratch)}, check=False,
            )  # fmt: skip
            assert (done.returncode, said in done.stdout + done.stderr) == (code, True), done
        assert files(home) == before
        assert list(scratch.glob("aiqc-reproduce-*")) == []
    finally:
        for path in (home, *home.rglob("*")):
            path.chmod(0o755)
