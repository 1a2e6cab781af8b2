"""Splitsets, Folds and the cache: the right rows, encoded by what train alone taught."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import LabelBinarizer, OneHotEncoder, OrdinalEncoder, StandardScaler

from aiqc_core import config
from aiqc_core.errors import MetastoreError, PreprocessError, SelectionError, SplitError
from aiqc_core.orm import (
    Dataset,
    Feature,
    FeatureCoder,
    Label,
    LabelCoder,
    Splitset,
    clear_cache_all,
    metastore,
)
from aiqc_core.orm.store import signing
from aiqc_core.storage import cache


def frame(samples: int = 60) -> pd.DataFrame:
    """Two numbers, a word, and a class that follows from the first number."""
    generator = np.random.default_rng(3)
    values = generator.normal(size=(samples, 2)) * [2.0, 30.0] + [5.0, -10.0]
    words = np.array(["red", "green", "blue"])[np.arange(samples) % 3]
    return pd.DataFrame(
        {
            "a": values[:, 0],
            "b": values[:, 1],
            "colour": words,
            "kind": np.where(np.arange(samples) % 4 == 0, "rare", "usual"),
        }
    )


def make(data: pd.DataFrame | None = None, **cut: Any) -> Splitset:
    """Register, choose, encode and cut."""
    dataset = Dataset.Tabular.from_df(frame() if data is None else data)
    feature = Feature.from_dataset(dataset.id, exclude_columns=["kind"])
    FeatureCoder.from_feature(feature.id, StandardScaler(), dtypes=["float64"])
    FeatureCoder.from_feature(feature.id, OneHotEncoder(), columns=["colour"])
    label = Label.from_dataset(dataset.id, "kind")
    LabelCoder.from_label(label.id, LabelBinarizer())
    return Splitset.make([feature.id], label.id, **cut)


def test_splits_partition_the_rows_and_keep_the_classes(home: Path) -> None:
    splitset = make(size_test=0.2, size_validation=0.25, seed=1)
    rows = splitset.positions()
    assert {split: len(r) for split, r in rows.items()} == {
        "train": 33,
        "validation": 15,
        "test": 12,
    }
    assert sorted(np.concatenate(list(rows.values()))) == list(range(60))
    kinds = frame()["kind"].to_numpy()
    shares = [np.mean(kinds[r] == "rare") for r in rows.values()]
    np.testing.assert_allclose(shares, 0.25, atol=0.03)
    assert splitset.samples == {split: r.tolist() for split, r in rows.items()}
    assert splitset.sizes["test"] == {"percent": 0.2, "count": 12}
    assert (splitset.key_train, splitset.key_evaluation, splitset.key_test) == (
        "train",
        "validation",
        "test",
    )
    assert (splitset.supervision, splitset.has_validation) == ("supervised", True)


def test_the_seed_alone_decides_the_cut(home: Path) -> None:
    same = [make(size_test=0.2, fold_count=3, seed=5) for _ in range(2)]
    other = make(size_test=0.2, fold_count=3, seed=6)
    assert same[0].samples == same[1].samples
    assert [f.samples for f in same[0].ordered_folds] == [f.samples for f in same[1].ordered_folds]
    assert other.samples != same[0].samples


def test_folds_partition_train_and_carry_the_other_splits(home: Path) -> None:
    splitset = make(size_test=0.2, size_validation=0.2, fold_count=3, seed=1)
    train = splitset.samples["train"]
    left_out = []
    for fold in splitset.ordered_folds:
        assert list(fold.samples) == [
            "folds_train_combined",
            "fold_validation",
            "validation",
            "test",
        ]
        both = fold.samples["folds_train_combined"] + fold.samples["fold_validation"]
        assert sorted(both) == train
        assert fold.samples["test"] == splitset.samples["test"]
        left_out += fold.samples["fold_validation"]
    assert sorted(left_out) == train
    assert splitset.key_train == "folds_train_combined"
    assert splitset.key_evaluation == "fold_validation"


def test_without_a_test_split_everything_trains(home: Path) -> None:
    splitset = make(seed=1)
    assert splitset.samples == {"train": list(range(60))}
    assert (splitset.key_evaluation, splitset.key_test) == (None, None)


def test_a_class_that_a_split_lacks_is_warned_about(home: Path) -> None:
    """B01."""
    data = frame(20)
    data["kind"] = ["usual"] * 18 + ["rare"] * 2
    with pytest.warns(UserWarning, match="split 'test' has no sample of class 'rare'"):
        splitset = make(data, size_test=0.2, seed=0)
    assert len(splitset.samples["test"]) == 4


@pytest.mark.parametrize("fold_count", [None, 2])
def test_reading_samples_writes_no_row(home: Path, fold_count: int | None) -> None:
    """Whether they are built by the call or are there: files of the cache alone are new."""
    splitset = make(size_test=0.2, fold_count=fold_count)
    part = splitset.parts()[0] or splitset
    before = list(metastore.connection().iterdump())
    for _ in range(2):
        splitset.fetch_cache("test", "features", fold_id=None if fold_count is None else part.id)
        assert part.fitted is not None
    assert list(metastore.connection().iterdump()) == before


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        ({"size_test": 0.999}, "size_test|train"),
        ({"size_test": 0.7, "size_validation": 0.3}, "train|size"),
        ({"size_test": 1.0}, "size_test"),
        ({"fold_count": 1}, "fold_count"),
        ({"fold_count": 61}, "fold_count|fewer|class"),
        ({"groups": "kind"}, "groups: 'kind' is the label"),
    ],
)
def test_a_cut_that_leaves_a_split_empty_is_refused(
    home: Path, cut: dict[str, float], message: str
) -> None:
    """A06."""
    with pytest.raises(SplitError, match=message):
        make(**cut)
    assert Splitset.select().count() == 0


def test_a_name_counts_versions_and_an_equal_cut_is_found_again(home: Path) -> None:
    dataset = Dataset.Tabular.from_df(frame())
    feature = Feature.from_dataset(dataset.id, ["a"])
    label = Label.from_dataset(dataset.id, "kind")
    cuts = [
        Splitset.make(feature.id, label.id, size_test=size, name="cut", seed=1)
        for size in (0.2, 0.3, 0.2)
    ]
    assert [cut.version for cut in cuts] == [1, 2, 1]
    assert cuts[0].id == cuts[2].id


def test_features_and_label_must_pair(home: Path) -> None:
    feature = Feature.from_dataset(Dataset.Tabular.from_df(frame(30)).id, ["a"])
    label = Label.from_dataset(Dataset.Tabular.from_df(frame(31)).id, "kind")
    with pytest.raises(SplitError, match=r"do not pair.*30.*31"):
        Splitset.make([feature.id], label.id)


def test_cached_samples_equal_scikit_learn_by_hand(home: Path) -> None:
    splitset = make(size_test=0.2, fold_count=3, seed=2)
    data = frame()
    for fold in splitset.ordered_folds:
        rows = fold.positions()
        scaler = StandardScaler().fit(data.loc[rows["folds_train_combined"], ["a", "b"]])
        words = OneHotEncoder(sparse_output=False).fit(data[["colour"]])
        for split, positions in rows.items():
            part = data.iloc[positions]
            expected = np.hstack(
                [scaler.transform(part[["a", "b"]]), words.transform(part[["colour"]])]
            )
            features = splitset.fetch_cache(split, "features", fold_id=fold.id)
            np.testing.assert_array_equal(features, expected)
            label = splitset.fetch_cache(split, "label", fold_id=fold.id)
            np.testing.assert_array_equal(label, (part[["kind"]] == "usual").to_numpy())
    again = splitset.ordered_folds[-1]
    assert again.fitted_labelcoder is not None
    assert len(again.fitted_featurecoders[0]) == 2


def test_rows_outside_train_teach_nothing(home: Path) -> None:
    """Changing every row outside train changes no array of train."""
    splitset = make(size_test=0.3, seed=4)
    data = frame()
    outside = splitset.positions()["test"]
    data.loc[outside, ["a", "b"]] = 1e6
    changed = make(data, size_test=0.3, seed=4)
    assert changed.samples == splitset.samples
    np.testing.assert_array_equal(
        changed.fetch_cache("train", "features"), splitset.fetch_cache("train", "features")
    )


def test_one_feature_in_two_splitsets_is_fitted_twice(home: Path) -> None:
    dataset = Dataset.Tabular.from_df(frame())
    feature = Feature.from_dataset(dataset.id, ["a"])
    FeatureCoder.from_feature(feature.id, StandardScaler())
    label = Label.from_dataset(dataset.id, "kind")
    LabelCoder.from_label(label.id, OrdinalEncoder())
    assert feature.fitted_featurecoders is None
    means = []
    for seed in (1, 2):
        splitset = Splitset.make([feature.id], label.id, size_test=0.5, seed=seed)
        splitset.cache_samples()
        means.append(splitset.fitted.features[0].encoders[0].encoders[0].mean_[0])
        expected = frame().loc[splitset.samples["train"], "a"].mean()
        assert means[-1] == pytest.approx(expected)
    assert means[0] != means[1]
    latest = Feature.get_by_id(feature.id).fitted_featurecoders
    assert latest.encoders[0].encoders[0].mean_[0] == means[1]
    assert Label.get_by_id(label.id).fitted_labelcoder is not None


def test_the_cache_is_hot_only_when_all_of_it_is_there(home: Path) -> None:
    splitset = make(size_test=0.2, fold_count=2, seed=1)
    assert not splitset.cache_hot
    splitset.fetch_cache("test", "label", fold_id=splitset.ordered_folds[0].id)
    assert not splitset.cache_hot
    splitset.cache_samples()
    assert splitset.cache_hot
    Splitset.clear_cache(splitset.id)
    assert not splitset.cache_hot
    assert not Path(splitset.cache_path).exists()


def test_a_file_cut_short_or_deleted_is_built_again(home: Path) -> None:
    """A10."""
    splitset = make(size_test=0.2, seed=1)
    before = np.array(splitset.fetch_cache("train", "features"))
    file = next(Path(splitset.cache_path).rglob("train/feature_0.npy"))
    file.write_bytes(file.read_bytes()[:-100])
    assert not splitset.cache_hot
    np.testing.assert_array_equal(splitset.fetch_cache("train", "features"), before)
    shutil.rmtree(splitset.cache_path)
    np.testing.assert_array_equal(splitset.fetch_cache("train", "features"), before)


def test_a_coder_added_later_never_meets_stale_samples(home: Path) -> None:
    dataset = Dataset.Tabular.from_df(frame())
    feature = Feature.from_dataset(dataset.id, ["a", "b"])
    label = Label.from_dataset(dataset.id, "kind")
    LabelCoder.from_label(label.id, OrdinalEncoder())
    splitset = Splitset.make([feature.id], label.id, size_test=0.2, seed=1)
    raw = np.array(splitset.fetch_cache("train", "features"))
    FeatureCoder.from_feature(feature.id, StandardScaler())
    again = Splitset.get_by_id(splitset.id)
    assert not again.cache_hot
    encoded = again.fetch_cache("train", "features")
    np.testing.assert_allclose(encoded, (raw - raw.mean(axis=0)) / raw.std(axis=0))


def test_cached_arrays_are_read_only_and_tensors_are_copies(home: Path) -> None:
    """A09: training cannot change what the next Job reads."""
    splitset = make(size_test=0.2, seed=1)
    features = splitset.fetch_cache("train", "features")
    with pytest.raises(ValueError, match="read-only"):
        features[0, 0] = 1.0
    tensor = splitset.fetch_cache("train", "features", library="pytorch")
    assert str(tensor.dtype) == "torch.float32"
    tensor[0, 0] = 7.0
    assert splitset.fetch_cache("train", "features")[0, 0] != 7.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "dev", "label_features": "label"}, r"'dev' is none of \['train', 'test'\]"),
        ({"split": "train", "label_features": "y"}, "'label' or 'features'"),
        ({"split": "train", "label_features": "label", "fold_id": 9}, "has no Folds"),
        ({"split": "train", "label_features": "label", "library": "jax"}, "'jax'"),
    ],
)
def test_asking_for_what_is_not_cached_is_refused(
    home: Path, arguments: dict[str, Any], message: str
) -> None:
    splitset = make(size_test=0.2, seed=1)
    with pytest.raises(SelectionError, match=message):
        splitset.fetch_cache(**arguments)


def test_clearing_everything_leaves_no_folder(home: Path) -> None:
    make(size_test=0.2, seed=1).cache_samples()
    assert config.samples_path().exists()
    clear_cache_all()
    assert not config.samples_path().exists()


def test_a_cache_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def broken() -> Any:
        yield "train", {"label": np.zeros(3)}
        raise RuntimeError("disk")

    with pytest.raises(RuntimeError, match="disk"):
        cache.write(tmp_path / "samples", broken(), {})
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(MetastoreError, match="cache_samples"):
        cache.load(tmp_path / "samples" / "train", "label")


def test_the_fit_beside_the_samples_is_signed(home: Path) -> None:
    splitset = make(size_test=0.2, seed=1)
    splitset.cache_samples()
    file = next(Path(splitset.cache_path).rglob("fitted.bin"))
    assert signing.loads(file.read_bytes()).features[0].columns == ("a", "b", "colour")


def test_a_label_coder_without_an_inverse_is_refused(home: Path) -> None:
    """B52."""
    from sklearn.preprocessing import FunctionTransformer, Normalizer

    dataset = Dataset.Tabular.from_df(frame())
    label = Label.from_dataset(dataset.id, "a")
    for encoder in (FunctionTransformer(np.log1p), Normalizer()):
        with pytest.raises(PreprocessError, match="no inverse"):
            LabelCoder.from_label(label.id, encoder)
    assert LabelCoder.select().count() == 0


def test_a_later_coder_takes_what_earlier_ones_left(home: Path) -> None:
    dataset = Dataset.Tabular.from_df(frame())
    feature = Feature.from_dataset(dataset.id, exclude_columns=["kind"])
    first = FeatureCoder.from_feature(feature.id, OneHotEncoder(), columns=["colour"])
    assert (first.idx, first.matching_columns, first.leftover_columns) == (
        0,
        ["colour"],
        ["a", "b"],
    )
    assert first.encoded_column_names == ["colour_blue", "colour_green", "colour_red"]
    assert (first.is_categorical, first.only_fit_train) == (True, False)
    assert first.original_filter == {"include": True, "dtypes": None, "columns": ["colour"]}
    with pytest.raises(SelectionError, match="colour"):
        FeatureCoder.from_feature(feature.id, StandardScaler(), columns=["colour"])
    rest = FeatureCoder.from_feature(feature.id, StandardScaler(), include=False)
    assert (rest.idx, rest.matching_columns, rest.leftover_columns) == (1, ["a", "b"], [])
