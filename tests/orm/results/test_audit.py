"""Checks of data on real stores, with leaks and damage planted in them."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import (
    KBinsDiscretizer,
    LabelBinarizer,
    MinMaxScaler,
    OneHotEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
)

from aiqc_core.errors import NotFoundError
from aiqc_core.orm import (
    Dataset,
    Feature,
    FeatureCoder,
    FeatureInterpolater,
    Label,
    LabelCoder,
    Splitset,
    Window,
)
from aiqc_core.orm.results import audit
from aiqc_core.orm.samples import cache
from aiqc_core.stages.preprocess import pipeline

if TYPE_CHECKING:
    from pathlib import Path

ENCODERS = [
    StandardScaler(),
    MinMaxScaler(),
    RobustScaler(),
    PowerTransformer(),
    QuantileTransformer(n_quantiles=20, subsample=40),
    SplineTransformer(),
    KBinsDiscretizer(n_bins=3, quantile_method="averaged_inverted_cdf"),
]
LINEAR = {"method": "linear", "limit_direction": "both"}
pytestmark = pytest.mark.filterwarnings("ignore:Splitset.make", "ignore:fold_count")


def table(rows: int = 90) -> pd.DataFrame:
    """Numbers with outliers, a category, and two classes."""
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "a": rng.normal(size=rows) ** 3,
            "b": rng.uniform(1, 9, size=rows),
            "kind": rng.choice(["x", "y", "z"], size=rows),
            "y": np.where(np.arange(rows) % 3 == 0, "up", "down"),
        }
    )


def cut(encoder: Any, *, folds: int | None = None, frame: pd.DataFrame | None = None) -> Splitset:
    """Cache the samples of a table whose numbers an encoder takes."""
    dataset = Dataset.Tabular.from_df(table() if frame is None else frame)
    feature = Feature.from_dataset(dataset.id, ["a", "b", "kind"])
    FeatureCoder.from_feature(feature.id, encoder, columns=["a", "b"])
    FeatureCoder.from_feature(feature.id, OneHotEncoder(), columns=["kind"])
    label = Label.from_dataset(dataset.id, ["y"])
    LabelCoder.from_label(label.id, LabelBinarizer())
    splitset = Splitset.make([feature.id], label.id, size_test=0.3, fold_count=folds, seed=2)
    splitset.cache_samples()
    return Splitset.get_by_id(splitset.id)


def plant(splitset: Splitset, positions: np.ndarray) -> None:
    """Store a fit that was made from these rows."""
    row = next(iter(splitset.parts())) or splitset
    feature = splitset.features[0]
    leaked = pipeline.fit_feature(feature.to_df(), feature.plan(), positions)
    fitted = replace(row.fitted, features=(leaked,))
    row.fitted_preprocessing = type(row).fitted_preprocessing.store(fitted)
    row.save()


def waves(splitset_of: dict[str, Any], **changes: Any) -> Splitset:
    """Cache windows over a series, cut as asked."""
    time = np.arange(60.0)
    frame = pd.DataFrame({"wave": np.sin(time / 5)})
    feature = Feature.from_dataset(Dataset.Tabular.from_df(frame).id)
    FeatureCoder.from_feature(feature.id, StandardScaler())
    Window.from_feature(feature.id, changes.get("size_window", 4), 1)
    splitset = Splitset.make([feature.id], size_test=0.3, seed=2, **splitset_of)
    splitset.cache_samples()
    return Splitset.get_by_id(splitset.id)


@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda e: type(e).__name__)
def test_an_honest_fit_passes_and_one_of_all_rows_fails(home: Path, encoder: Any) -> None:
    splitset = cut(encoder)
    found = audit.no_leak(splitset, None)
    assert (found.verdict, found.facts["differences"]) == ("passed", 0), found
    assert found.facts["fits made again"] == 3
    assert "OneHotEncoder(kind)" in found.facts["see all rows, being categorical"]

    plant(splitset, np.arange(90))
    found = audit.no_leak(Splitset.get_by_id(splitset.id), None)
    assert found.verdict == "failed"
    assert "do not follow from the training rows alone" in found.summary
    assert {row["of"] for row in found.facts["what differs"]} == {
        f"features: {type(encoder).__name__}(a, b)"
    }


def test_a_fit_that_saw_one_row_of_test_fails(home: Path) -> None:
    splitset = cut(StandardScaler())
    positions = splitset.positions()
    plant(splitset, np.append(positions["train"], positions["test"][0]))
    found = audit.no_leak(Splitset.get_by_id(splitset.id), None)
    rows = {row["what"]: row for row in found.facts["what differs"]}
    assert found.verdict == "failed"
    by_hand = splitset.features[0].to_df(["a", "b"]).iloc[positions["train"]].mean()
    shown = rows["mean_"]["training rows alone give"]
    assert shown == ", ".join(f"{value:.6g}" for value in by_hand)


def test_each_fold_is_held_against_its_own_rows(home: Path) -> None:
    splitset = cut(MinMaxScaler(), folds=3)
    folds = splitset.ordered_folds
    assert {audit.no_leak(splitset, fold).verdict for fold in folds} == {"passed"}
    plant(splitset, splitset.positions()["train"])  # what is left out of fold 0 taught it
    found = audit.no_leak(splitset, splitset.ordered_folds[0])
    assert found.verdict == "failed"
    assert audit.no_leak(splitset, splitset.ordered_folds[1]).verdict == "passed"


def test_cached_training_samples_are_not_trusted_either(home: Path) -> None:
    splitset = cut(StandardScaler())
    assert audit.no_leak(splitset, None).verdict == "passed"
    path = cache.folder_of(splitset, None) / "train" / "feature_0.npy"
    values = np.load(path)
    values[5, 0] += 0.01
    np.save(path, values)
    found = audit.no_leak(splitset, None)
    assert found.verdict == "failed"
    assert found.facts["what differs"][0]["stored"] == f"1 of {values.size} values"


def test_interpolation_over_all_rows_is_amber_because_it_was_asked_for(home: Path) -> None:
    def of(*, separately: bool) -> Splitset:
        frame = table()
        frame.loc[::7, "a"] = np.nan
        dataset = Dataset.Tabular.from_df(frame)
        feature = Feature.from_dataset(dataset.id, ["a"])
        FeatureInterpolater.from_feature(feature.id, separately, LINEAR)
        label = Label.from_dataset(dataset.id, ["y"])
        LabelCoder.from_label(label.id, LabelBinarizer())
        splitset = Splitset.make([feature.id], label.id, size_test=0.3, seed=2)
        splitset.cache_samples()
        return Splitset.get_by_id(splitset.id)

    assert audit.no_leak(of(separately=True), None).verdict == "passed"
    together = of(separately=False)
    found = audit.no_leak(together, None)
    assert found.verdict == "warning"
    assert "process_separately=False" in found.summary


def test_windows_that_share_rows_are_amber_with_the_count(home: Path) -> None:
    """B57."""
    splitset = waves({})
    windows = splitset.features[0].recipe().windows
    train, test = (splitset.positions()[name] for name in ("train", "test"))
    rows = [
        {row for i in part for kind in (windows.unshifted, windows.shifted) for row in kind[i]}
        for part in (train, test)
    ]
    found = audit.rows_apart(splitset)
    assert (found.verdict, found.facts["shared_rows"]) == ("warning", len(rows[0] & rows[1]))
    assert "time_ordered" in found.summary
    assert audit.no_leak(splitset, None).verdict == "warning"  # fits are right, rows are shared

    ordered = waves({"time_ordered": True, "gap": 4})
    assert audit.rows_apart(ordered).verdict == "passed"
    assert audit.no_leak(ordered, None).verdict == "passed"


def test_shared_rows_are_counted_again_whatever_the_report_says(home: Path) -> None:
    splitset = waves({})
    splitset.shared_rows = {"no_fold": {"test": {"rows": 0, "share": 0.0}}}
    splitset.save()
    assert audit.rows_apart(Splitset.get_by_id(splitset.id)).verdict == "warning"


def test_a_sample_in_two_splits_fails(home: Path) -> None:
    splitset = cut(StandardScaler())
    positions = splitset.positions()
    both = positions | {"test": np.append(positions["test"], positions["train"][:2])}
    splitset.samples = Splitset.samples.store(both)
    splitset.save()
    found = audit.rows_apart(Splitset.get_by_id(splitset.id))
    assert (found.verdict, found.summary) == ("failed", "2 samples are in two splits.")


@pytest.mark.filterwarnings("ignore:Splitset.make. samples equal one that trains")
def test_many_near_duplicates_are_amber_with_their_number(home: Path) -> None:
    frame = table()
    frame.loc[45:, ["a", "b", "kind"]] = frame.loc[:44, ["a", "b", "kind"]].to_numpy()
    splitset = cut(StandardScaler(), frame=frame.astype({"a": float, "b": float}))
    found = audit.rows_apart(splitset)
    train, test = (splitset.positions()[name] for name in ("train", "test"))
    expected = len([row for row in test if (row + 45) % 90 in train])
    assert found.verdict == "warning"
    assert found.facts["near duplicates of train in test"] == expected > 0


def test_a_class_that_a_split_lacks_is_amber_with_its_name(home: Path) -> None:
    splitset = cut(StandardScaler(), folds=2)
    assert audit.every_class(splitset).verdict == "passed"
    frame = table()
    frame["y"] = np.where(np.arange(90) < 80, "early", "late")
    dataset = Dataset.Tabular.from_df(frame)
    feature = Feature.from_dataset(dataset.id, ["a"])
    label = Label.from_dataset(dataset.id, ["y"])
    ordered = Splitset.make([feature.id], label.id, size_test=0.3, time_ordered=True)
    found = audit.every_class(ordered)
    assert found.verdict == "warning"
    assert found.facts["absent"] == [{"fold": "no_fold", "split": "train", "class": "late"}]
    counts = {row["split"]: (row["early"], row["late"]) for row in found.facts["samples by class"]}
    assert counts == {"train": (63, 0), "test": (17, 10)}


def test_a_continuous_label_or_none_has_no_class_to_lack(home: Path) -> None:
    dataset = Dataset.Tabular.from_df(table())
    feature = Feature.from_dataset(dataset.id, ["a"])
    label = Label.from_dataset(dataset.id, ["b"])
    splitset = Splitset.make([feature.id], label.id, size_test=0.3)
    assert "continuous" in audit.every_class(splitset).summary
    assert "no label" in audit.every_class(waves({})).summary


def test_nan_in_cached_samples_fails_with_its_place(home: Path) -> None:
    splitset = cut(StandardScaler(), folds=2)
    fold = splitset.ordered_folds[1]
    assert audit.no_nan(splitset, fold).verdict == "passed"
    path = cache.folder_of(splitset, fold) / "test" / "feature_0.npy"
    values = np.load(path)
    values[0, 0], values[1, 1] = np.nan, np.inf
    np.save(path, values)
    found = audit.no_nan(splitset, fold)
    assert found.verdict == "failed"
    assert found.summary == "1 values are NaN and 1 infinite, in test/feature_0."
    assert audit.no_nan(splitset, splitset.ordered_folds[0]).verdict == "passed"


def test_samples_that_are_not_cached_are_not_built_to_be_checked(home: Path) -> None:
    splitset = cut(StandardScaler())
    splitset.clear_cache()
    for check in (audit.no_leak, audit.no_nan):
        with pytest.raises(NotFoundError, match="cache_samples"):
            check(splitset, None)


def test_stored_bytes_are_hashed_again(home: Path) -> None:
    dataset = Dataset.Tabular.from_df(table())
    found = audit.source_unchanged([dataset])
    assert found.verdict == "passed"
    other = Dataset.Tabular.from_df(table(80))
    dataset.blob = other.__data__["blob"]
    dataset.save()
    found = audit.source_unchanged([other, Dataset.get_by_id(dataset.id)])
    assert found.verdict == "failed"
    assert found.summary.startswith(f"Dataset {dataset.id} was registered with SHA-256")


def test_a_source_outside_of_the_store_is_read_again_even_if_its_time_stands(
    home: Path, tmp_path: Path
) -> None:
    path = tmp_path / "rows.npy"
    np.save(path, np.zeros((4, 3, 2)))
    dataset = Dataset.Sequence.from_numpy(str(path))
    stamp = path.stat()
    assert audit.source_unchanged([dataset]).verdict == "passed"
    dataset.to_arr()  # this process now takes the file for known
    np.save(path, np.ones((4, 3, 2)))
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert audit.source_unchanged([dataset]).verdict == "failed"
    path.unlink()
    found = audit.source_unchanged([dataset])
    assert found.verdict == "failed"
    assert "cannot be read as it was registered" in found.summary
