"""Interpolaters, coders, windows and shapers, on every kind of data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import KBinsDiscretizer, MinMaxScaler, OrdinalEncoder, StandardScaler

from aiqc_core.errors import PreprocessError, SelectionError, SplitError
from aiqc_core.orm import (
    Dataset,
    Feature,
    FeatureCoder,
    FeatureInterpolater,
    FeatureShaper,
    Fold,
    Label,
    LabelCoder,
    LabelInterpolater,
    Splitset,
    Window,
)

if TYPE_CHECKING:
    from pathlib import Path

LINEAR = {"method": "linear", "limit_direction": "both"}
pytestmark = pytest.mark.filterwarnings("ignore:Splitset.make. the windows of train share")


def series(rows: int = 40) -> pd.DataFrame:
    """A wave with blanks, and its phase."""
    time = np.arange(rows)
    wave = np.sin(time / 4) * 10 + 50
    wave[[i for i in (3, 4, 17, 30) if i < rows]] = np.nan
    return pd.DataFrame({"wave": wave, "phase": time % 8, "y": time % 2})


def labelled(feature: Feature, rows: int = 40) -> Label:
    """Pair a Feature with alternating classes."""
    return Label.from_dataset(Dataset.Tabular.from_df(series(rows)).id, "y")


def test_blanks_of_train_are_filled_by_train_and_of_test_beside_train(home: Path) -> None:
    dataset = Dataset.Tabular.from_df(series())
    feature = Feature.from_dataset(dataset.id, ["wave"])
    row = FeatureInterpolater.from_feature(feature.id, interpolate_kwargs=LINEAR)
    assert (row.idx, row.matching_columns, row.leftover_columns) == (0, ["wave"], [])
    splitset = Splitset.make([feature.id], labelled(feature).id, size_test=0.25, seed=3)
    wave = series()["wave"]
    train, test = (splitset.positions()[s] for s in ("train", "test"))
    by_hand = wave.iloc[train].interpolate(method="index", limit_direction="both")
    np.testing.assert_array_equal(
        splitset.fetch_cache("train", "features").ravel(), by_hand.to_numpy()
    )
    beside = pd.concat([by_hand, wave.iloc[test]]).sort_index()
    filled = beside.interpolate(method="index", limit_direction="both").loc[test]
    np.testing.assert_allclose(splitset.fetch_cache("test", "features").ravel(), filled.to_numpy())


def test_rows_outside_train_change_no_filled_or_scaled_training_value(home: Path) -> None:
    def cached(data: pd.DataFrame) -> np.ndarray:
        feature = Feature.from_dataset(Dataset.Tabular.from_df(data).id, ["wave"])
        FeatureInterpolater.from_feature(feature.id)
        FeatureCoder.from_feature(feature.id, StandardScaler())
        splitset = Splitset.make([feature.id], labelled(feature).id, size_test=0.25, seed=3)
        return np.array(splitset.fetch_cache("train", "features"))

    data = series()
    before = cached(data)
    feature = Feature.from_dataset(Dataset.Tabular.from_df(data).id, ["wave"])
    outside = Splitset.make([feature.id], labelled(feature).id, size_test=0.25, seed=3)
    data.loc[outside.positions()["test"], "wave"] = -1e6
    np.testing.assert_array_equal(cached(data), before)


def test_a_label_can_be_interpolated(home: Path) -> None:
    dataset = Dataset.Tabular.from_df(series())
    feature = Feature.from_dataset(dataset.id, ["phase"])
    label = Label.from_dataset(dataset.id, "wave")
    LabelInterpolater.from_label(label.id, interpolate_kwargs=LINEAR)
    LabelCoder.from_label(label.id, StandardScaler())
    with pytest.raises(PreprocessError, match="has a LabelInterpolater"):
        LabelInterpolater.from_label(label.id)
    splitset = Splitset.make([feature.id], label.id, size_test=0.25, seed=1, time_ordered=True)
    train = series()["wave"].iloc[:30].interpolate(method="index", limit_direction="both")
    expected = (train - train.mean()) / train.std(ddof=0)
    np.testing.assert_allclose(splitset.fetch_cache("train", "label").ravel(), expected)


def test_only_floats_are_interpolated(home: Path) -> None:
    dataset = Dataset.Tabular.from_df(series())
    with pytest.raises(PreprocessError, match="phase"):
        FeatureInterpolater.from_feature(Feature.from_dataset(dataset.id).id, columns=["phase"])
    with pytest.raises(PreprocessError, match="y"):
        LabelInterpolater.from_label(Label.from_dataset(dataset.id, "y").id)


def test_blanks_that_are_left_are_an_error_with_column_and_count(home: Path) -> None:
    """B23."""
    feature = Feature.from_dataset(Dataset.Tabular.from_df(series()).id, ["wave"])
    splitset = Splitset.make([feature.id], labelled(feature).id, size_test=0.25, seed=3)
    with pytest.raises(PreprocessError, match=r"'wave': \d"):
        splitset.cache_samples()


def windowed(**cut: Any) -> Splitset:
    """Forecast a filled and scaled wave: five rows from the five before."""
    feature = Feature.from_dataset(Dataset.Tabular.from_df(series()).id, ["wave"])
    FeatureInterpolater.from_feature(feature.id, interpolate_kwargs=LINEAR)
    FeatureCoder.from_feature(feature.id, MinMaxScaler())
    Window.from_feature(feature.id, size_window=5, size_shift=2)
    return Splitset.make([feature.id], **({"size_test": 0.25, "seed": 2} | cut))


def test_windows_are_the_samples_and_the_future_is_the_target(home: Path) -> None:
    splitset = windowed(time_ordered=True, gap=4)
    (feature,) = splitset.features
    (window,) = feature.windows
    assert window.window_count == 17
    assert window.samples_unshifted[0] == [1, 2, 3, 4, 5]
    assert window.samples_shifted[0] == [3, 4, 5, 6, 7]
    assert splitset.supervision == "unsupervised"
    train = splitset.positions()["train"]
    rows = sorted({r for i in train for r in (*window.samples_unshifted[i],
                                             *window.samples_shifted[i])})  # fmt: skip
    wave = series()["wave"].iloc[rows].interpolate(method="index", limit_direction="both")
    scaled = (wave - wave.min()) / (wave.max() - wave.min())
    for part, lists in (("features", window.samples_unshifted), ("label", window.samples_shifted)):
        expected = np.array([scaled.loc[lists[i]] for i in train])[..., None]
        np.testing.assert_allclose(splitset.fetch_cache("train", part), expected, atol=1e-12)


def test_the_leak_report_counts_shared_rows(home: Path) -> None:
    """B57."""
    with pytest.warns(UserWarning, match="share"):
        shuffled = windowed()
    window = shuffled.features[0].windows[0]
    rows = {
        split: {r for i in positions for r in (*window.samples_unshifted[i],
                                               *window.samples_shifted[i])}
        for split, positions in shuffled.samples.items()
    }  # fmt: skip
    shared = shuffled.leak_report["shared_rows"]["no_fold"]["test"]
    assert shared["rows"] == len(rows["train"] & rows["test"]) > 0
    assert shared["share"] == pytest.approx(shared["rows"] / len(rows["train"]))
    ordered = windowed(time_ordered=True, gap=7)
    assert ordered.leak_report["shared_rows"]["no_fold"]["test"]["rows"] == 0


def test_near_duplicates_between_splits_are_counted(home: Path) -> None:
    data = pd.DataFrame({"a": np.tile(np.arange(10.0), 4), "y": np.tile([0, 1], 20)})
    dataset = Dataset.Tabular.from_df(data)
    feature = Feature.from_dataset(dataset.id, ["a"])
    splitset = Splitset.make([feature.id], Label.from_dataset(dataset.id, "y").id,
                             size_test=0.25, seed=1)  # fmt: skip
    assert splitset.leak_report["near_duplicates"] is None
    splitset.cache_samples()
    known = set(data["a"].iloc[splitset.samples["train"]])
    expected = int(data["a"].iloc[splitset.samples["test"]].isin(known).sum())
    assert splitset.leak_report["near_duplicates"] == {"test": expected}


@pytest.mark.filterwarnings("ignore:fold_count", "ignore:size_test", "ignore:groups")
def test_groups_stay_together(home: Path) -> None:
    data = series().assign(patient=np.arange(40) // 4)
    dataset = Dataset.Tabular.from_df(data)
    feature = Feature.from_dataset(dataset.id, ["phase"])
    label = Label.from_dataset(dataset.id, "y")
    splitset = Splitset.make([feature.id], label.id, size_test=0.25, fold_count=3, seed=1,
                             groups="patient")  # fmt: skip
    for positions in (splitset.samples, *(f.samples for f in splitset.ordered_folds)):
        owners = [set(data["patient"].iloc[rows]) for rows in positions.values()]
        assert sum(map(len, owners)) == len(set.union(*owners))
    with pytest.raises(SplitError, match=r"no table has a column 'ward'.*patient"):
        Splitset.make([feature.id], label.id, groups="ward")


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        ({"gap": 2}, "time_ordered=True"),
        ({"groups": "phase", "time_ordered": True}, "one of the two"),
        ({"unsupervised_stratify_col": "phase"}, "Label stratifies"),
    ],
)
def test_arguments_that_exclude_each_other_are_refused(
    home: Path, cut: dict[str, Any], message: str
) -> None:
    dataset = Dataset.Tabular.from_df(series())
    feature = Feature.from_dataset(dataset.id, ["phase"])
    label = Label.from_dataset(dataset.id, "y")
    with pytest.raises(SplitError, match=message):
        Splitset.make([feature.id], label.id, size_test=0.25, **cut)
    assert Splitset.select().count() == 0


def sequence() -> np.ndarray:
    """Twelve walks of five steps with a blank in each."""
    walks = np.random.default_rng(0).normal(size=(12, 5, 2)).cumsum(axis=1) * [1.0, 100.0]
    walks[:, 2, 0] = np.nan
    return walks


def test_a_sequence_is_filled_sample_by_sample_and_really_encoded(home: Path) -> None:
    dataset = Dataset.Sequence.from_numpy(sequence(), rename_columns=["x", "y"])
    feature = Feature.from_dataset(dataset.id)
    FeatureInterpolater.from_feature(feature.id, interpolate_kwargs=LINEAR)
    FeatureCoder.from_feature(feature.id, StandardScaler())
    label = Label.from_dataset(Dataset.Tabular.from_df(series(12)).id, "y")
    splitset = Splitset.make([feature.id], label.id, size_test=0.25, seed=1)
    filled = np.stack(
        [pd.DataFrame(walk).interpolate(limit_direction="both").to_numpy() for walk in sequence()]
    )
    rows = splitset.positions()
    scaler = StandardScaler().fit(filled[rows["train"]].reshape(-1, 2))
    for split, positions in rows.items():
        expected = scaler.transform(filled[positions].reshape(-1, 2)).reshape(-1, 5, 2)
        np.testing.assert_allclose(splitset.fetch_cache(split, "features"), expected)


def test_images_are_encoded_and_reshaped_by_index(home: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 17, size=(12, 1, 8, 6)).astype("uint8")
    feature = Feature.from_dataset(Dataset.Image.from_numpy(pixels).id)
    FeatureCoder.from_feature(feature.id, MinMaxScaler())
    shaper = FeatureShaper.from_feature(feature.id, (0, 2, 3))
    assert (shaper.reshape_indices, shaper.column_position) == ((0, 2, 3), 2)
    label = Label.from_dataset(Dataset.Tabular.from_df(series(12)).id, "y")
    splitset = Splitset.make([feature.id], label.id, size_test=0.25, seed=1)
    train = pixels[splitset.positions()["train"]]
    scaler = MinMaxScaler().fit(train.reshape(-1, 6))
    expected = scaler.transform(train.reshape(-1, 6)).reshape(-1, 8, 6)
    np.testing.assert_allclose(splitset.fetch_cache("train", "features"), expected)
    with pytest.raises(PreprocessError, match="has a shaper"):
        FeatureShaper.from_feature(feature.id, (0, 2, 3))


def test_several_kinds_are_cut_alike(home: Path) -> None:
    """Multimodal: a table, a sequence and images of the same samples."""
    table = Feature.from_dataset(Dataset.Tabular.from_df(series(12)).id, ["phase"])
    walks = Feature.from_dataset(
        Dataset.Sequence.from_numpy(np.arange(12 * 3 * 2.0).reshape(12, 3, 2)).id
    )
    images = Feature.from_dataset(
        Dataset.Image.from_numpy(np.arange(12 * 4).reshape(12, 1, 2, 2)).id
    )
    label = Label.from_dataset(Dataset.Tabular.from_df(series(12)).id, "y")
    ids = [walks.id, table.id, images.id]
    splitset = Splitset.make(ids, label.id, size_test=0.25, seed=1)
    assert splitset.feature_ids == ids
    rows = splitset.positions()["test"]
    first, second, third = splitset.fetch_cache("test", "features")
    np.testing.assert_array_equal(first[:, 0, 0], rows * 6)
    np.testing.assert_array_equal(second.ravel(), rows % 8)
    np.testing.assert_array_equal(third[:, 0, 0, 0], rows * 4)


def test_windows_come_before_their_splitset_and_once(home: Path) -> None:
    splitset = windowed()
    (feature,) = splitset.features
    with pytest.raises(PreprocessError, match="has a Window"):
        Window.from_feature(feature.id, 3, 1)
    bare = Feature.from_dataset(feature.dataset_id, ["phase"])
    Splitset.make([bare.id], size_test=0.25, seed=1, unsupervised_stratify_col="phase")
    with pytest.raises(PreprocessError, match="cut by a Splitset already"):
        Window.from_feature(bare.id, 3, 1)
    short = Feature.from_dataset(feature.dataset_id, ["wave"])
    with pytest.raises(PreprocessError, match="at least 42 samples would be enough"):
        Window.from_feature(short.id, 40, 2)


def test_without_a_label_the_stratum_is_the_median_of_a_column(home: Path) -> None:
    walks = np.repeat(np.tile([0.0, 10.0], 10), 3).reshape(20, 3, 1)
    feature = Feature.from_dataset(Dataset.Sequence.from_numpy(walks, rename_columns=["level"]).id)
    splitset = Splitset.make([feature.id], size_test=0.2, seed=1, bin_count=2,
                             unsupervised_stratify_col="level")  # fmt: skip
    levels = walks[splitset.positions()["test"], 0, 0]
    assert sorted(levels) == [0, 0, 10, 10]
    with pytest.raises(SelectionError, match="depth"):
        Splitset.make([feature.id], size_test=0.2, unsupervised_stratify_col="depth")


def test_a_feature_that_is_its_own_target_needs_an_inverse(home: Path) -> None:
    from sklearn.preprocessing import Normalizer

    feature = Feature.from_dataset(Dataset.Tabular.from_df(series()).id, ["phase"])
    FeatureCoder.from_feature(feature.id, Normalizer())
    with pytest.raises(PreprocessError, match=r"Normalizer.*no inverse"):
        Splitset.make([feature.id], size_test=0.25)
    two = [Feature.from_dataset(feature.dataset_id, [c]).id for c in ("phase", "y")]
    with pytest.raises(SplitError, match="give one Feature"):
        Splitset.make(two, size_test=0.25)


def test_an_interpolater_added_later_never_meets_stale_samples(home: Path) -> None:
    feature = Feature.from_dataset(Dataset.Tabular.from_df(series()).id, ["wave"])
    label = labelled(feature)
    LabelCoder.from_label(label.id, OrdinalEncoder())
    splitset = Splitset.make([feature.id], label.id, size_test=0.25, seed=3)
    key = splitset.cache_path
    FeatureInterpolater.from_feature(feature.id)
    assert Splitset.get_by_id(splitset.id).cache_path != key


def test_a_filter_is_noted_as_lists(home: Path) -> None:
    feature = Feature.from_dataset(Dataset.Tabular.from_df(series()).id)
    coder = FeatureCoder.from_feature(feature.id, StandardScaler(), columns="phase")
    wanted = {"include": True, "dtypes": None, "columns": ["phase"]}
    assert FeatureCoder.get_by_id(coder.id).original_filter == wanted
    filled = FeatureInterpolater.from_feature(feature.id, dtypes="float64")
    wanted = {"include": True, "dtypes": ["float64"], "columns": None}
    assert FeatureInterpolater.get_by_id(filled.id).original_filter == wanted
    other = Feature.from_dataset(feature.dataset_id, ["wave"])
    named = FeatureInterpolater.from_feature(other.id, columns=("wave",))
    assert named.original_filter["columns"] == ["wave"]


@pytest.mark.filterwarnings("ignore:fold_count", "ignore:Splitset.make. the split")
def test_a_reshape_fits_a_fold_whose_quantiles_are_fewer(home: Path) -> None:
    """All rows have four quantiles; rows that lack the only ones above 0 have fewer."""
    frame = pd.DataFrame({"a": [0.0] * 15 + [1.0, 2.0, 3.0, 4.0, 5.0] * 3, "y": [0, 1] * 15})
    dataset = Dataset.Tabular.from_df(frame)
    feature = Feature.from_dataset(dataset.id, ["a"])
    binned = KBinsDiscretizer(6, encode="onehot-dense", quantile_method="averaged_inverted_cdf")
    with pytest.warns(UserWarning, match="bins"):
        FeatureCoder.from_feature(feature.id, binned)
    FeatureShaper.from_feature(feature.id, (0, "1", 1))
    splitset = Splitset.make([feature.id], time_ordered=True, fold_count=2)
    widths = []
    for fold in splitset.ordered_folds:
        with pytest.warns(UserWarning, match="bins"):
            train = splitset.fetch_cache("folds_train_combined", "features", fold.id)
        width = len(Fold.get_by_id(fold.id).fitted.features[0].output_columns)
        assert train.shape[1:] == (1, width)
        widths.append(width)
    assert widths == sorted(widths)
    assert widths[0] < feature.preprocessed_shape()[-1]


@pytest.mark.filterwarnings("ignore:fold_count")
def test_what_cannot_be_prepared_is_reported_by_feature_and_fold(home: Path) -> None:
    wave = np.arange(30.0)
    wave[1:10] = np.nan
    dataset = Dataset.Tabular.from_df(pd.DataFrame({"wave": wave, "other": wave[::-1]}))
    fine, feature = (Feature.from_dataset(dataset.id, [c]) for c in ("other", "wave"))
    for each in (fine, feature):
        FeatureInterpolater.from_feature(each.id, interpolate_kwargs={"method": "pchip"})
    label = Label.from_dataset(Dataset.Tabular.from_df(pd.DataFrame({"y": [0, 1] * 15})).id)
    splitset = Splitset.make([fine.id, feature.id], label.id, time_ordered=True, fold_count=2)
    (first, *_) = splitset.ordered_folds
    reported = rf"^Feature {feature.id}, fold 0 \(id {first.id}\): column 'wave': 1 known points"
    with pytest.raises(PreprocessError, match=reported):
        splitset.cache_samples()
    assert not splitset.cache_hot


def test_classes_of_a_one_hot_label_are_reported_by_their_columns(home: Path) -> None:
    hot = pd.DataFrame({"cat": [1] * 20 + [0] * 4, "dog": [0] * 20 + [1] * 4, "x": range(24)})
    dataset = Dataset.Tabular.from_df(hot)
    feature = Feature.from_dataset(dataset.id, ["x"])
    label = Label.from_dataset(dataset.id, ["cat", "dog"])
    with pytest.warns(UserWarning, match="'train' has no sample of class 'dog'"):
        Splitset.make([feature.id], label.id, size_test=0.25, time_ordered=True)
    rare = hot.assign(cat=[1] * 23 + [0], dog=[0] * 23 + [1])
    label = Label.from_dataset(Dataset.Tabular.from_df(rare).id, ["cat", "dog"])
    with pytest.raises(SplitError, match="class 'dog' has 1"):
        Splitset.make([feature.id], label.id, size_test=0.25)
