"""From data to predictions with all bytes on an object store: the numbers, and what outages do."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import services_s3
from services_s3 import BUCKET
from sklearn.preprocessing import LabelBinarizer, StandardScaler

from aiqc_core.config import use_home
from aiqc_core.errors import ArtifactsError
from aiqc_core.orm import (
    Algorithm,
    Dataset,
    Feature,
    FeatureCoder,
    Hyperparamset,
    Label,
    LabelCoder,
    Prediction,
    Predictor,
    Queue,
    Splitset,
)
from aiqc_core.orm.store import blobs
from aiqc_core.orm.store.blobs import OBJECT_BYTES, Blob
from aiqc_core.storage import objects

if TYPE_CHECKING:
    from pathlib import Path

    from services_s3 import Line

SAMPLES = 1500
ON_ANOTHER_MACHINE = """
from aiqc_core.orm import Prediction, Predictor, Splitset
from aiqc_core.orm.samples import cache

build, cache._build = cache._build, None
Splitset.get_by_id(1).cache_samples()
cache._build = build
new = Splitset.make([1], 1, predictor_id=1)
print(new.infer().metrics["infer_0"]["loss"], len(Predictor.get_by_id(1).model_file))
"""


def wide_build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    """A layer whose weights take more than what stays in the metastore."""
    from torch import nn

    wide = nn.Linear(features_shape[0], hp["width"])
    return nn.Sequential(wide, nn.ReLU(), nn.Linear(hp["width"], label_shape[0]), nn.Sigmoid())


def short_train(
    model: Any, loser: Any, optimizer: Any, x: Any, y: Any, eval_x: Any, eval_y: Any, **hp: Any
) -> Any:
    """Two epochs."""
    from aiqc_core.utils.pytorch import fit

    return fit(model, loser, optimizer, x, y, eval_x, eval_y, epochs=2, batch_size=256)


def make_queue() -> Queue:
    """Two combinations over data that does not fit into what stays in the metastore."""
    x = np.random.default_rng(3).normal(size=(SAMPLES, 4))
    frame = pd.DataFrame(x, columns=list("abcd")).assign(y=np.where(x[:, 0] > 0, "up", "down"))
    dataset = Dataset.Tabular.from_df(frame)
    feature = Feature.from_dataset(dataset.id, include_columns=list("abcd"))
    label = Label.from_dataset(dataset.id, "y")
    FeatureCoder.from_feature(feature.id, StandardScaler())
    LabelCoder.from_label(label.id, LabelBinarizer())
    splitset = Splitset.make([feature.id], label.id, size_test=0.25, seed=1)
    algorithm = Algorithm.make("pytorch", "classification_binary", wide_build, short_train)
    grid = Hyperparamset.from_algorithm(algorithm.id, {"width": [2000, 3000]})
    return Queue.from_algorithm(
        algorithm.id, splitset.id, hyperparamset_id=grid.id, permute_count=0, seed=1
    )


def losses() -> list[dict[str, float]]:
    """Return the losses of every recorded training, by split, in the order of the Jobs."""
    rows = Prediction.select().join(Predictor).order_by(Predictor.job, Predictor.repeat_index)
    return [{split: values["loss"] for split, values in row.metrics.items()} for row in rows]


def refuse_rows_without_bytes() -> None:
    """Read the bytes of every Blob row; what is missing or changed raises."""
    assert [len(blobs.get(row.sha256)) for row in Blob.select()] == [r.size for r in Blob.select()]


@pytest.fixture(scope="module")
def in_the_metastore(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, float]]:
    """Return the losses of the same Queue without an object store."""
    with use_home(tmp_path_factory.mktemp("plain")):
        make_queue().run_jobs(progress=False)
        return losses()


@pytest.mark.slow
@pytest.mark.usefixtures("s3")
def test_numbers_are_the_same_here_and_on_another_machine(
    in_the_metastore: list[dict[str, float]], tmp_path: Path
) -> None:
    make_queue().run_jobs(workers=2, progress=False)
    assert losses() == in_the_metastore
    store = objects.configured()
    assert store is not None
    large = Blob.select().where(Blob.size >= OBJECT_BYTES)
    sent = {entry.name for entry in store.entries(blobs.FOLDER)}
    assert sent == {blobs.object_name(row.sha256) for row in large}
    assert blobs.object_name(Predictor.get_by_id(1).__data__["model_file"]) in sent
    reported = subprocess.run(
        [sys.executable, "-c", ON_ANOTHER_MACHINE],
        env=os.environ | {"AIQC_CACHE": str(tmp_path / "another")},
        check=True, stdout=subprocess.PIPE, text=True,
    ).stdout.split()  # fmt: skip
    assert int(reported[1]) > OBJECT_BYTES
    here = Splitset.make([1], 1, predictor_id=1).infer()
    assert here.metrics["infer_1"]["loss"] == float(reported[0])
    refuse_rows_without_bytes()


@pytest.mark.slow
def test_a_line_that_breaks_in_the_middle_costs_nothing(
    in_the_metastore: list[dict[str, float]], line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was trained is kept in a file, and recorded by the same call when the store is back."""
    monkeypatch.setattr(objects, "PAUSES_SECONDS", (0.05,))
    queue = make_queue()
    queue.splitset.cache_samples()
    line.cut_after = 1  # the first model; not its second object
    with pytest.raises(RuntimeError, match=r"could not be recorded .*artifacts: s3://"):
        queue.run_jobs(progress=False)
    trained = Predictor.select().count()
    assert trained < 2
    line.mend()
    refuse_rows_without_bytes()
    queue.run_jobs(progress=False)
    assert losses() == in_the_metastore
    refuse_rows_without_bytes()


@pytest.mark.slow
def test_a_server_that_is_killed_is_reported_and_the_same_call_works_after_its_restart(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "PAUSES_SECONDS", (0.05,))
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(3000, 3)), columns=list("abc"))
    with services_s3.serving() as server:
        for name, value in services_s3.settings(server.endpoint).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AIQC_ARTIFACTS", f"s3://{BUCKET}/killed")
        services_s3.lead_to(server.endpoint)
        Dataset.select().count()
        server.kill()
        with pytest.raises(ArtifactsError, match="run the same again"):
            Dataset.Tabular.from_df(frame)
        assert Dataset.select().count() == Blob.select().count() == 0
        server.start()
        assert Dataset.Tabular.from_df(frame).to_df().equals(frame)
