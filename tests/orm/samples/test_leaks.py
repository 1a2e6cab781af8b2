"""A cut tells what its samples give away: where it is made, in its report and in the check."""

from __future__ import annotations

import warnings
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from inference_setups import flat_build, torch_train, trained
from sklearn.preprocessing import LabelBinarizer, StandardScaler

from aiqc_core.experiment import Experiment, Labelled, Pipeline, Training, workflow
from aiqc_core.orm import (
    Dataset,
    Feature,
    FeatureCoder,
    FeatureInterpolater,
    Label,
    LabelCoder,
    LabelInterpolater,
    Splitset,
    Window,
)
from aiqc_core.orm.results import audit
from aiqc_core.orm.samples import leaks

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 60
LINEAR = {"method": "linear", "limit_direction": "both"}


def table() -> pd.DataFrame:
    """Noise, and a label that does not follow from it."""
    rng = np.random.default_rng(5)
    numbers = {name: rng.normal(size=ROWS) for name in ("x", "z")}
    return pd.DataFrame(numbers | {"y": rng.choice(["no", "yes"], ROWS)})


def cut(frame: pd.DataFrame, columns: list[str] | None = None, **how: Any) -> Splitset:
    """Cut a table by its label y."""
    dataset = Dataset.Tabular.from_df(frame)
    chosen = columns or [name for name in frame.columns if name != "y"]
    feature = Feature.from_dataset(dataset.id, chosen)
    label = Label.from_dataset(dataset.id, ["y"])
    LabelCoder.from_label(label.id, LabelBinarizer())
    return Splitset.make([feature.id], label.id, **({"size_test": 0.25, "seed": 1} | how))


def walk(experiment: Experiment) -> None:
    """Walk a declaration down to its cut."""
    for stage in (workflow.dataset, workflow.feature, workflow.label, workflow.splitset):
        stage(experiment, f"s{Splitset.select().count()}")


def test_sound_samples_are_cut_without_a_word(home: Path) -> None:
    splitset = cut(table())
    assert splitset.leak_report["label_in_features"] == []
    assert splitset.leak_report["repeated_rows"]["no_fold"]["test"]["rows"] == 0
    assert audit.rows_apart(splitset).verdict == "passed"


def test_the_label_among_the_features_is_warned_of_by_its_column(home: Path) -> None:
    with pytest.warns(UserWarning, match=r"'y' is the label itself \(60 rows\)"):
        splitset = cut(table(), ["x", "y"])
    (found,) = splitset.leak_report["label_in_features"]
    assert (found["column"], found["rows"]) == ("y", ROWS)
    check = audit.rows_apart(Splitset.get_by_id(splitset.id))
    assert check.verdict == "warning"
    assert check.facts["label in features"] == [found]


def test_a_copy_is_warned_of_in_each_kind_of_data_and_through_a_declaration(home: Path) -> None:
    frame = table()
    code = (frame["y"] == "yes").astype(float)
    with pytest.warns(UserWarning, match=r"'flag' is the label in other values"):
        cut(frame.assign(flag=code))
    series = np.random.default_rng(0).normal(size=(ROWS, 4, 2))
    series[:, -1, 1] = code
    label = Label.from_dataset(Dataset.Tabular.from_df(frame[["y"]]).id)
    feature = Feature.from_dataset(Dataset.Sequence.from_numpy(series).id)
    with pytest.warns(UserWarning, match=r"'1 \(last row\)' is the label"):
        Splitset.make([feature.id], label.id, size_test=0.25)
    for source in (lambda: frame, lambda: Labelled(frame, frame[["y"]])):
        experiment = Experiment(
            name="leaky",
            source=source,
            pipeline=Pipeline(label="y", features=["x", "y"], size_test=0.25),
            training=Training(
                library="pytorch", analysis_type="classification_binary",
                fn_build=flat_build, fn_train=torch_train,
            ),
        )  # fmt: skip
        with pytest.warns(UserWarning, match=r"'y' is the label"):
            walk(experiment)


def test_groups_that_stay_a_feature_are_warned_of_by_their_column(home: Path) -> None:
    frame = table().assign(patient=np.repeat(np.arange(ROWS // 4), 4))
    with pytest.warns(UserWarning, match="'patient' keeps groups in one split and is a feature"):
        splitset = cut(frame, groups="patient")
    (found,) = splitset.leak_report["group_in_features"]
    assert found["column"] == "patient"
    assert audit.rows_apart(Splitset.get_by_id(splitset.id)).verdict == "warning"
    assert not cut(frame, ["x", "z"], groups="patient").leak_report["group_in_features"]


def test_repeated_samples_are_warned_of_in_tables_and_images(home: Path) -> None:
    twice = pd.concat([table().iloc[: ROWS // 2]] * 2, ignore_index=True)
    with pytest.warns(UserWarning, match=r"samples equal one that trains: \d+ of 'test'"):
        splitset = cut(twice)
    counts = splitset.leak_report["repeated_rows"]["no_fold"]["test"]
    known = set(map(tuple, twice.iloc[splitset.samples["train"]].to_numpy()))
    expected = sum(tuple(row) in known for row in twice.iloc[splitset.samples["test"]].to_numpy())
    assert (counts["rows"], counts["same_label"]) == (expected, expected)
    assert audit.rows_apart(splitset).verdict == "warning"
    images = np.random.default_rng(0).integers(0, 255, (ROWS // 2, 1, 5, 5), dtype=np.uint8)
    feature = Feature.from_dataset(Dataset.Image.from_numpy(np.concatenate([images] * 2)).id)
    with pytest.warns(UserWarning, match="equal one that trains"):
        Splitset.make([feature.id], size_test=0.25, seed=1)


def cut_arrays(values: np.ndarray[Any, Any], label: Any) -> Splitset:
    """Cut sequences or images by a label of their own table."""
    kind: Any = Dataset.Sequence if values.ndim == 3 else Dataset.Image
    feature = Feature.from_dataset(kind.from_numpy(values).id)
    target = Label.from_dataset(Dataset.Tabular.from_df(pd.DataFrame({"y": label})).id)
    return Splitset.make([feature.id], target.id, size_test=0.25, seed=1)


def noise(kind: str) -> np.ndarray[Any, Any]:
    """Return sequences or images that have nothing in common."""
    rng = np.random.default_rng(0)
    if kind == "sequence":
        return rng.normal(size=(ROWS, 30, 3))
    return rng.integers(0, 255, (ROWS, 3, 16, 16), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["sequence", "image"])
def test_a_label_within_each_sample_is_warned_of_by_its_place(home: Path, kind: str) -> None:
    values, label = noise(kind), np.random.default_rng(1).choice(["a", "b", "c"], ROWS)
    assert not cut_arrays(values, label).leak_report["label_in_features"]
    values[..., 5, 1] = (pd.factorize(label)[0] * 7).reshape(-1, *[1] * (values.ndim - 3))
    expected = r"'1 \(row 5\)' is the" if kind == "sequence" else r"'pixel \(0, 5, 1\) and 2 more'"
    with pytest.warns(UserWarning, match=expected):
        (found,) = cut_arrays(values, label).leak_report["label_in_features"]
    assert found["rows"] == ROWS


def test_a_continuous_label_within_each_sequence_is_warned_of(home: Path) -> None:
    values, label = noise("sequence"), np.random.default_rng(1).normal(size=ROWS)
    values[:, 7, 2], values[3, 7, 2] = label, np.nan
    with pytest.warns(UserWarning, match=r"'2 \(row 7\)' has its values \(59 rows\)"):
        cut_arrays(values, label)


@pytest.mark.parametrize(
    ("kind", "change"),
    [*product(["sequence", "image"], ["one row", "some values"]), ("image", "noise")],
)
def test_near_copies_are_warned_of(home: Path, kind: str, change: str) -> None:
    """Each sample of the second half is changed from one of the first half."""
    values, rng, half = noise(kind), np.random.default_rng(3), ROWS // 2
    label = np.tile(rng.choice(["a", "b"], half), 2)
    other = values[half:].copy()
    values[half:] = values[:half]
    if change == "one row":
        values[half:, ..., 3, :] = other[..., 3, :]
    elif change == "some values":
        some = rng.random(other.shape) < 0.05
        values[half:][some] = other[some]
    else:
        values[half:] = np.clip(
            values[half:].astype(int) + rng.integers(-1, 2, other.shape), 0, 255
        )
    with pytest.warns(UserWarning, match="nearly one that trains"):
        splitset = cut_arrays(values, label)
    train, test = (set(splitset.samples[name]) for name in ("train", "test"))
    most = sum((row + half) % ROWS in train for row in test)
    found = splitset.leak_report["nearly_repeated"]["no_fold"]["test"]
    assert most / 3 < found["rows"] <= most
    assert audit.rows_apart(splitset).facts["nearly a training sample"]


def test_equal_features_of_another_label_are_warned_of(home: Path) -> None:
    half, rng = np.random.default_rng(0).normal(size=(ROWS // 2, 4)), np.random.default_rng(1)
    frame = pd.DataFrame(np.concatenate([half] * 2), columns=list("abcd"))
    slope = frame.sum(axis=1)
    with pytest.warns(UserWarning, match=r"60 samples \(100.0%\) have the features of another"):
        found = cut(frame.assign(y=["no", "yes"] * (ROWS // 4) + ["yes", "no"] * (ROWS // 4)))
    assert found.leak_report["contradicting"]["rows"] == ROWS
    cut_arrays(frame.to_numpy()[:, None], slope + 0.1 * rng.normal(size=ROWS))  # measured twice
    with pytest.warns(UserWarning, match="all 60 samples have equal features"):
        cut_arrays(np.ones((ROWS, 4, 2)), slope)


def test_columns_that_follow_from_each_other_are_alike_by_nature(home: Path) -> None:
    city = np.random.default_rng(2).integers(0, 9, ROWS)
    frame = pd.DataFrame({"city": city, "state": city // 2, "zip": city * 7, "land": city // 5})
    cut(frame.assign(y=table()["y"]))


def test_large_data_are_looked_at_when_they_are_cached(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaks, "READ_AT_ONCE", 10)
    frame = table()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        splitset = cut(frame.assign(flag=(frame["y"] == "yes").astype(float)))
    assert splitset.leak_report["repeated_rows"] is None
    with pytest.warns(UserWarning, match="'flag' is the label in other values"):
        splitset.cache_samples()
    again = Splitset.get_by_id(splitset.id)
    assert [row["column"] for row in again.leak_report["label_in_features"]] == ["flag"]
    again.cache_samples()  # it was said


def test_features_that_are_their_own_label_give_nothing_away(home: Path) -> None:
    feature = Feature.from_dataset(Dataset.Tabular.from_df(table()[["x", "z"]]).id)
    splitset = Splitset.make([feature.id], size_test=0.25)
    assert splitset.leak_report["label_in_features"] == []


@pytest.mark.parametrize(("size", "shift"), [(12, 4), (5, 4), (4, 4), (3, 4)])
def test_windows_over_their_own_target_are_warned_of_with_their_share(
    home: Path, size: int, shift: int
) -> None:
    dataset = Dataset.Tabular.from_df(pd.DataFrame({"wave": np.sin(np.arange(200.0) / 7)}))
    feature = Feature.from_dataset(dataset.id)
    window = Window.from_feature(feature.id, size, shift)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        splitset = Splitset.make([feature.id], size_test=0.2, time_ordered=True, gap=size)
    past, future = set(window.samples_unshifted[3]), set(window.samples_shifted[3])
    shared = len(past & future)
    report = splitset.leak_report["target_overlap"]
    assert (report["rows"], report["share"]) == (shared, pytest.approx(shared / size))
    assert [f"shares {shared} of its {size} rows" in str(w.message) for w in caught] == (
        [True] if shared else []
    )
    check = audit.rows_apart(splitset)
    assert check.verdict == "passed"  # it was declared so
    assert check.facts.get("rows of each target in its own input", 0) == shared


def filled(frame: pd.DataFrame, **how: Any) -> Splitset:
    """Cut a table whose blanks are interpolated."""
    dataset = Dataset.Tabular.from_df(frame)
    feature = Feature.from_dataset(dataset.id, ["x", "z"])
    FeatureInterpolater.from_feature(feature.id, interpolate_kwargs=LINEAR)
    label = Label.from_dataset(dataset.id, ["t"])
    LabelInterpolater.from_label(label.id, interpolate_kwargs=LINEAR)
    return Splitset.make([feature.id], label.id, **({"size_test": 0.25, "seed": 1} | how))


def gappy() -> pd.DataFrame:
    """Blanks in a feature and in a continuous label."""
    frame = table()[["x", "z"]].assign(t=np.random.default_rng(1).normal(size=ROWS))
    frame.loc[[4, 9], "x"] = np.nan
    frame.loc[20, "t"] = np.nan
    return frame


def test_filling_from_the_rows_beside_is_warned_of_where_no_order_is_known(home: Path) -> None:
    with pytest.warns(UserWarning, match=r"blanks of 'x' \(2\), 't' \(1\) are filled"):
        splitset = filled(gappy())
    assert splitset.leak_report["order_assumed"] == {"x": 2, "t": 1}
    assert audit.rows_apart(splitset).facts["blanks filled by an assumed order"] == 3
    predictor = trained(splitset, "regression", flat_build)
    with pytest.warns(UserWarning, match=r"blanks of 'x' \(2\) are filled"):
        predictor.predict(gappy()[["x", "z"]])
    predictor.predict(gappy()[["x", "z"]].dropna().reset_index(drop=True))


@pytest.mark.parametrize("windowed", [False, True])
def test_rows_that_do_not_follow_their_times_are_warned_of(home: Path, *, windowed: bool) -> None:
    day = pd.date_range("2026-01-01", periods=ROWS)
    frame = gappy().fillna(0.0)

    def cut(**times: Any) -> Splitset:
        dataset = Dataset.Tabular.from_df(frame.assign(**times))
        feature = Feature.from_dataset(dataset.id, ["x"])
        if windowed:
            Window.from_feature(feature.id, 3, 3)
        label_id = None if windowed else Label.from_dataset(dataset.id, ["t"]).id
        gap = 2 if windowed else 0
        return Splitset.make([feature.id], label_id, size_test=0.25, time_ordered=True, gap=gap)

    mixed = np.random.default_rng(0).permutation(ROWS)
    back = int((mixed < np.maximum.accumulate(mixed)).sum())
    for times, late in ((day[mixed], back), (day[::-1].astype(str), ROWS - 1)):
        with pytest.warns(UserWarning, match=rf"times of 'day' \({late}\) go back"):
            made = cut(day=times)
        assert made.leak_report["order_contradicted"] == {"day": late}
        facts = audit.rows_apart(made).facts
        assert facts["rows after one of a later time"] == {"day": late}
    slip = day.to_series().replace({day[5]: day[4], day[4]: day[5]})
    for sound in (
        {"day": day},
        {"day": slip.to_numpy()},
        {"born": day[mixed], "day": day},
        {"n": mixed},
    ):
        assert cut(**sound).leak_report["order_contradicted"] == {}


def test_filling_in_an_order_that_is_known_is_sound(home: Path) -> None:
    ordered = filled(gappy(), time_ordered=True)
    assert ordered.leak_report["order_assumed"] == {}
    day = pd.date_range("2026-01-01", periods=ROWS)
    hours = pd.to_timedelta(np.arange(ROWS), unit="h")
    mixed = np.random.default_rng(0).permutation(ROWS)
    for times in (
        day,
        day[::-1],
        day.strftime("%Y-%m-%d"),
        hours,
        np.arange(ROWS),
        day.where(mixed > 4),
    ):
        filled(gappy().assign(day=times))
    for vague in (day[mixed], day[np.zeros(ROWS, int)], day[np.arange(ROWS) // 20], mixed, "2026"):
        with pytest.warns(UserWarning, match="blanks of"):
            filled(gappy().assign(day=vague))
    whole = gappy().fillna(0.0)
    filled(whole)
    trained(ordered, "regression", flat_build).predict(gappy()[["x", "z"]])
    series = np.random.default_rng(0).normal(size=(ROWS, 5, 2))
    series[3, 1, 0] = np.nan
    feature = Feature.from_dataset(Dataset.Sequence.from_numpy(series).id)
    FeatureInterpolater.from_feature(feature.id, interpolate_kwargs=LINEAR)
    Splitset.make([feature.id], size_test=0.25)
    windowed = Feature.from_dataset(Dataset.Tabular.from_df(gappy()[["x"]]).id)
    FeatureInterpolater.from_feature(windowed.id, interpolate_kwargs=LINEAR)
    FeatureCoder.from_feature(windowed.id, StandardScaler())
    Window.from_feature(windowed.id, 3, 3)
    Splitset.make([windowed.id], size_test=0.25, time_ordered=True, gap=2)
