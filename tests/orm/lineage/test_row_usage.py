"""Which models a row taught, against every fold and window looked through by hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from lineage_setups import recorded
from sklearn.preprocessing import OrdinalEncoder, StandardScaler
from typer.testing import CliRunner

from aiqc_core.cli.app import app
from aiqc_core.config import use_home
from aiqc_core.errors import SelectionError
from aiqc_core.orm import (
    Dataset,
    Feature,
    FeatureCoder,
    Label,
    Snapshot,
    Splitset,
    Window,
)

if TYPE_CHECKING:
    from pathlib import Path

RUN = CliRunner()


def table(rows: int = 24) -> Dataset:
    """Three columns of numbers."""
    values = np.random.default_rng(0).normal(size=(rows, 3))
    return Dataset.Tabular.from_df(pd.DataFrame(values, columns=["a", "b", "t"]), name="numbers")


def cut(dataset: Dataset, window: tuple[int, int, bool] | None = None, **how: Any) -> Splitset:
    """Cut a Feature, by windows without a Label, else with one."""
    feature = Feature.from_dataset(dataset.id, include_columns=["a", "b"])
    if window is not None:
        Window.from_feature(feature.id, *window)
        return Splitset.make([feature.id], seed=1, **how)
    label = Label.from_dataset(dataset.id, "t")
    return Splitset.make([feature.id], label.id, seed=1, **how)


def by_hand(splitset: Splitset, part: dict[str, list[int]], row: int) -> dict[str, list[int]]:
    """Return `{split: samples over the row}`, by looking through written lists."""
    windows = list(splitset.features[0].windows)
    past = windows[0].samples_unshifted if windows else None
    future = (windows[0].samples_shifted if windows else None) or []
    found = {}
    for split, samples in part.items():
        under = [
            sample
            for sample in samples
            if (row == sample if past is None else row in past[sample])
            or (future and row in future[sample])
        ]
        if under:
            found[split] = under
    return found


HOW = st.fixed_dictionaries(
    {"size_test": st.sampled_from([None, 0.25])},
    optional={"size_validation": st.just(0.2), "fold_count": st.integers(2, 3)},
)
WINDOWS = st.none() | st.tuples(st.integers(1, 4), st.integers(1, 3), st.booleans())


@pytest.mark.slow
@settings(  # each example makes a store, of which every row is looked up
    max_examples=5, phases=[Phase.generate], suppress_health_check=[*HealthCheck]
)
@pytest.mark.filterwarnings("ignore:Splitset.make", "ignore:fold_count")
@given(HOW, WINDOWS)
def test_each_model_has_the_role_that_looking_through_all_folds_gives(
    tmp_path_factory: pytest.TempPathFactory,
    how: dict[str, Any],
    window: tuple[int, int, bool] | None,
) -> None:
    if how["size_test"] is None:
        how.pop("size_validation", None)
    with use_home(tmp_path_factory.mktemp("store")):
        dataset = table()
        splitset = cut(dataset, window, **how)
        queue = recorded(splitset)
        key = "folds_train_combined" if "fold_count" in how else "train"
        parts = [fold.samples for fold in splitset.ordered_folds] or [splitset.samples]
        places = {
            predictor.id: parts[0 if job.fold is None else job.fold.idx]
            for job in queue.jobs
            for predictor in job.predictors
        }
        for row in range(24):
            expected = {}
            for predictor, part in places.items():
                splits = by_hand(splitset, part, row)
                role = "train" if key in splits else "judge" if splits else "never"
                expected[predictor] = (role, splits)
            found = dataset.seen(row)
            assert {m.predictor: (m.role, m.splits) for m in found.models} == expected
            taught = sorted(pk for pk, (role, _) in expected.items() if role == "train")
            assert [m.predictor for m in found.trained] == taught


def test_equal_content_counts_and_other_content_does_not(home: Path) -> None:
    dataset = table()
    recorded(cut(dataset, size_test=0.25))
    twin = Dataset.Tabular.from_df(dataset.to_df(), name="other name")
    changed = Dataset.Tabular.from_df(dataset.to_df().assign(a=0.0), name="numbers")
    row = cut_row(dataset, "train")
    found = twin.seen(row)
    assert found.equal_datasets == [dataset.id]
    assert [(m.predictor, m.dataset, m.role) for m in found.models] == [(1, dataset.id, "train")]
    assert changed.version == 2
    assert changed.seen(row).models == []


def cut_row(dataset: Dataset, split: str) -> int:
    """Return the first row of a split of the only Splitset."""
    return Splitset.select().get().samples[split][0]


def test_what_names_a_model_is_reported(home: Path) -> None:
    dataset = table()
    feature = Feature.from_dataset(dataset.id, include_columns=["a", "b"])
    FeatureCoder.from_feature(feature.id, StandardScaler(), columns=["a"])
    FeatureCoder.from_feature(feature.id, OrdinalEncoder(), columns=["b"])
    label = Label.from_dataset(dataset.id, "t")
    splitset = Splitset.make([feature.id], label.id, size_test=0.25, fold_count=2, seed=1)
    queue = recorded(splitset)
    Snapshot.put("numbers", "2026-11-25", "queue", queue)
    (model, other) = dataset.seen(cut_row(dataset, "test")).models
    assert (model.role, other.role) == ("judge", "judge")
    assert model.used_as == ("feature 0", "label")
    assert model.fitted_on_all == ("OrdinalEncoder of feature 0",)
    assert (model.queue, model.job, model.fold) == (queue.id, "f0_default", 0)
    assert (model.experiment, model.snapshot) == ("numbers", "2026-11-25")
    assert (model.status, model.champion) == ("trained", False)


def test_a_row_that_was_only_predicted_is_new_data(home: Path) -> None:
    old = table()
    queue = recorded(cut(old, size_test=0.25))
    predictor = queue.jobs[0].predictors[0]
    new = Dataset.Tabular.from_df(old.to_df().iloc[:5] + 1)
    feature = Feature.from_dataset(new.id, include_columns=["a", "b"])
    Splitset.make([feature.id], predictor_id=predictor.id)
    (model,) = new.seen(4).models
    assert (model.predictor, model.role, model.splits) == (
        predictor.id,
        "new data",
        {"infer_0": [4]},
    )
    assert new.seen(4).trained == []


def test_the_command_exits_with_whether_a_model_trained_on_the_row(home: Path) -> None:
    dataset = table()
    recorded(cut(dataset, size_test=0.25))
    taught = RUN.invoke(app, ["seen", "1", "--row", str(cut_row(dataset, "train")), "--json"])
    assert taught.exit_code == 0
    assert json.loads(taught.output)["trained"] == [1]
    judged = RUN.invoke(app, ["seen", "1", "--row", str(cut_row(dataset, "test"))])
    assert judged.exit_code == 1
    assert "0 of 1 models trained on it" in judged.output
    assert "was judged on it" in judged.output


@pytest.mark.parametrize("row", [-1, 24, 1.5, True, None])
def test_a_row_that_is_not_there_is_refused(home: Path, row: Any) -> None:
    dataset = table()
    with pytest.raises(SelectionError, match=r"row: .*Dataset 1 has 24 rows; give 0 to 23"):
        dataset.seen(row)
    assert Dataset.seen(dataset.id, 23).row == 23


def test_the_command_says_which_rows_and_datasets_there_are(home: Path) -> None:
    table()
    done = RUN.invoke(app, ["seen", "1", "--row", "99"])
    assert done.exit_code == 2
    assert "give 0 to 23" in done.output
    gone = RUN.invoke(app, ["seen", "7", "--row", "0"])
    assert gone.exit_code == 2
    assert "Dataset: no row has id 7" in gone.output
