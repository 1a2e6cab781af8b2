"""Two models that differ in one ancestor: it is named first, with both values."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import inference_setups as setups
import numpy as np
import pandas as pd
import pytest
from lineage_setups import untrained
from sklearn.preprocessing import MinMaxScaler, OrdinalEncoder, StandardScaler
from typer.testing import CliRunner

from aiqc_core.cli.app import app
from aiqc_core.errors import NotFoundError
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
)
from aiqc_core.orm.training.reuse import adopt

if TYPE_CHECKING:
    from pathlib import Path

RUN = CliRunner()
FRAME = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 3)), columns=["a", "b", "t"])


def other_build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    """Give the label's shape by one linear layer without a bias."""
    from torch import nn

    return nn.Linear(features_shape[0], label_shape[0], bias=False)


def model(
    frame: pd.DataFrame = FRAME, columns: tuple[str, ...] = ("a", "b"), scaler: Any = None,
    size_test: float = 0.25, cut_seed: int = 1, build: Any = setups.flat_build,
    neurons: int = 1, seed: int = 1,
) -> Predictor:  # fmt: skip
    """Train a model by a chain of rows of its own."""
    dataset = Dataset.Tabular.from_df(frame)
    feature = Feature.from_dataset(dataset.id, include_columns=list(columns))
    FeatureCoder.from_feature(feature.id, scaler or StandardScaler())
    label = Label.from_dataset(dataset.id, "t")
    splitset = Splitset.make([feature.id], label.id, size_test=size_test, seed=cut_seed)
    algorithm = Algorithm.make("pytorch", "regression", build, untrained)
    grid = Hyperparamset.from_algorithm(algorithm.id, {"neurons": [neurons]})
    queue = Queue.from_algorithm(
        algorithm.id, splitset.id, hyperparamset_id=grid.id, permute_count=0, seed=seed
    )
    queue.run_jobs(progress=False)
    return queue.jobs[0].predictors[0]


CHANGES: dict[str, tuple[dict[str, Any], Any, Any]] = {
    "source, feature 0": ({"frame": FRAME + 1}, None, None),
    "columns, feature 0": ({"columns": ("b", "a")}, ["a", "b"], ["b", "a"]),
    "encode, feature 0": ({"scaler": MinMaxScaler()}, None, None),
    "split, size_test": ({"size_test": 0.5}, 0.25, 0.5),
    "split, seed": ({"cut_seed": 2}, 1, 2),
    "code, fn_build": ({"build": other_build}, None, None),
    "hyperparameters, neurons": ({"neurons": 2}, 1, 2),
    "seed, queue": ({"seed": 2}, 1, 2),
}


def test_the_first_ancestor_that_differs_is_named_with_both_values(home: Path) -> None:
    first = model()
    for ancestor, (changes, left, right) in CHANGES.items():
        found = first.diff(model(**changes))
        assert found.first is not None
        assert found.first.ancestor == ancestor
        if left is not None:
            assert (found.first.left, found.first.right) == (left, right)
        stage = ancestor.partition(",")[0]
        assert stage not in found.same
        assert found.same == [name for name in STAGES if name in found.same]
    code = first.diff(model(build=other_build)).first
    assert code is not None
    texts = first.job.queue.algorithm.get_code()
    assert code.left == texts["fn_build"]
    assert "bias=False" in code.right


def wide_build(width: int) -> Any:
    """Return functions of one text that reach another value."""

    def fn_build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
        from torch import nn

        return nn.Sequential(nn.Linear(features_shape[0], width), nn.Linear(width, label_shape[0]))

    return fn_build


def test_what_code_reaches_is_named_where_the_text_is_the_same(home: Path) -> None:
    one, other = (model(build=wide_build(width)) for width in (2, 3))
    code = one.diff(other).first
    assert code is not None
    assert (code.ancestor, code.note) == ("code, fn_build", "in width")
    shown = RUN.invoke(app, ["diff", str(one.id), str(other.id)]).output
    assert "differ first in: code, fn_build (in width)" in shown


STAGES = (
    "source", "dtypes", "columns", "interpolate", "encode", "window", "shape", "split", "fold",
    "fit", "code", "hyperparameters", "seed", "versions", "weights",
)  # fmt: skip


@pytest.mark.parametrize("scaler", [None, OrdinalEncoder()])  # a parameter of the latter is NaN
def test_a_chain_made_again_from_equal_parts_is_identical(home: Path, scaler: Any) -> None:
    one, other = model(scaler=scaler), model(scaler=scaler)
    assert one.id != other.id
    found = one.diff(other)
    assert found.identical
    assert found.first is None
    assert tuple(found.same) == STAGES
    assert Predictor.diff(one.id, other.id) == found


def test_weights_alone_are_the_last_that_can_differ(home: Path) -> None:
    one, other = model(), model()
    another = model(seed=5)
    other.model_file = another.__data__["model_file"]
    other.save(only=["model_file"])
    found = one.diff(other)
    assert [d.ancestor for d in found.differences] == ["weights"]
    then, now = (p.get_model()[0].state_dict() for p in (one, another))
    largest = max(float((then[name] - now[name]).abs().max()) for name in then)
    assert found.differences[0].note == f"largest difference {largest:.3g}"


def test_an_adopted_model_is_identical_to_the_one_it_is_of(home: Path) -> None:
    first = model()
    old = first.job.queue
    grid = Hyperparamset.from_algorithm(old.algorithm_id, {"neurons": [1, 2]})
    queue = Queue.from_algorithm(
        old.algorithm_id, old.splitset_id, hyperparamset_id=grid.id, permute_count=0, seed=1
    )
    assert adopt(queue) == 1
    copy = queue.jobs[0].predictors[0]
    assert copy.adopted_from == first.id
    assert first.diff(copy).identical
    assert copy.prediction.trace(0).model.adopted_from == first.id


def test_the_command_exits_with_whether_they_differ(home: Path) -> None:
    model(), model(neurons=2)
    done = RUN.invoke(app, ["diff", "1", "2"])
    assert done.exit_code == 1
    assert done.output.startswith("Predictors 1 and 2 differ first in: hyperparameters, neurons\n")
    reported = json.loads(RUN.invoke(app, ["diff", "1", "2", "--json"]).output)
    assert (reported["identical"], reported["first"]) == (False, "hyperparameters, neurons")
    same = RUN.invoke(app, ["diff", "1", "1"])
    assert (same.exit_code, "are identical" in same.output) == (0, True)
    gone = RUN.invoke(app, ["diff", "1", "9"])
    assert (gone.exit_code, "no row has id 9" in gone.output) == (2, True)
    with pytest.raises(NotFoundError, match="no row has id 9"):
        Predictor.get_by_id(1).diff(9)
