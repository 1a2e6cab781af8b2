"""What people ran into with other libraries, done here; the numbers are those of the reports."""

from __future__ import annotations

import re
import shutil
import sqlite3
from typing import TYPE_CHECKING, Any

import lines
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn import preprocessing as sk

from aiqc_core import config
from aiqc_core.errors import AlgorithmError, IngestError, PreprocessError
from aiqc_core.orm import (
    Algorithm,
    Dataset,
    Feature,
    FeatureCoder,
    FeatureInterpolater,
    Label,
    LabelCoder,
    LabelInterpolater,
    Predictor,
    Queue,
    Splitset,
    Window,
    clear_cache_all,
    metastore,
)
from aiqc_core.orm.store import blobs
from aiqc_core.stages.evaluate.importance import permutation_importance
from aiqc_core.stages.preprocess import encode, pipeline

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CLASSES = pd.DataFrame({"y": np.arange(12) % 2})


def cut(frame: pd.DataFrame, *coders: Any, **arguments: Any) -> Splitset:
    """Register a table of features, encode it, and cut it beside two alternating classes."""
    feature = Feature.from_dataset(Dataset.Tabular.from_df(frame).id)
    for coder in coders:
        FeatureCoder.from_feature(feature.id, coder)
    classes = pd.DataFrame({"y": np.arange(len(frame)) % 2})
    label = Label.from_dataset(Dataset.Tabular.from_df(classes).id)
    return Splitset.make([feature.id], label.id, **({"size_test": 0.25, "seed": 3} | arguments))


@pytest.mark.parametrize(
    "name", ["../../etc/x", "/abs", "a.b", "a/b", "a\\b", "温度", "n" * 300, "[0]", "a\0b", " "]
)
def test_a_name_full_of_path_characters_names_a_row_and_no_file(home: Path, name: str) -> None:
    """B67: names are never in paths or keys; what differs stays apart."""
    frame = pd.DataFrame({name: np.arange(12.0), "y": np.arange(12) % 2})
    others = [Dataset.Tabular.from_df(frame[["y"]], name=n).version for n in (f"{name}2", "x")]
    dataset = Dataset.Tabular.from_df(frame, name=name)
    assert (dataset.name, dataset.version, others) == (name, 1, [1, 1])
    feature = Feature.from_dataset(dataset.id, [name])
    label = Label.from_dataset(dataset.id, "y")
    splitset = Splitset.make([feature.id], label.id, size_test=0.25, seed=1, name=name)
    splitset.cache_samples()
    paths = [p.relative_to(home) for p in home.rglob("*")]
    assert {p.parts[0] for p in paths} <= {"aiqc.sqlite", "aiqc.sqlite-wal", "aiqc.sqlite-shm",
                                           "aiqc.lock", "store.key", "cache"}  # fmt: skip
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", part) for p in paths for part in p.parts)
    assert sorted(p.name for p in home.parent.iterdir()) == ["aiqc"]


def test_data_larger_than_a_value_of_sqlite_may_be_is_stored_and_read(home: Path) -> None:
    """B79: with the limit just above one chunk, where it stands for the 1,000,000,000 bytes."""
    Dataset.select().count()
    metastore.connection().setlimit(sqlite3.SQLITE_LIMIT_LENGTH, blobs.CHUNK_BYTES + 4096)
    array = np.random.default_rng(0).random((3, 2**19, 1))
    dataset = Dataset.Sequence.from_numpy(array)
    assert len(dataset.blob) > blobs.CHUNK_BYTES + 4096
    np.testing.assert_array_equal(Dataset.get_by_id(dataset.id).to_arr(), array)


@pytest.mark.parametrize("scaler", [sk.StandardScaler(), sk.MinMaxScaler(), sk.RobustScaler()])
def test_a_constant_column_is_scaled_to_nothing_and_named(home: Path, scaler: Any) -> None:
    """B84."""
    frame = pd.DataFrame({"same": [14.62] * 100, "useful": np.arange(100.0)})
    with pytest.warns(UserWarning, match="'same'"):
        splitset = cut(frame, scaler)
    with pytest.warns(UserWarning, match="'same'"):
        splitset.cache_samples()
    for split in ("train", "test"):
        assert np.abs(splitset.fetch_cache(split, "features")[:, 0]).max() < 1e-9


def test_a_constant_column_has_no_importance(home: Path) -> None:
    """B84: neither encoded, nor to a model that gives it the largest weight."""
    frame = pd.DataFrame({"useful": np.arange(100.0), "same": [14.62] * 100})
    with pytest.warns(UserWarning, match="'same'"):
        splitset = cut(frame, sk.StandardScaler())
    with pytest.warns(UserWarning, match="'same'"):
        splitset.cache_samples()
    features = splitset.fetch_cache("train", "features")
    groups = pipeline.column_groups(splitset.fitted.features[0])

    def loss(arrays: list[Any]) -> float:
        (array,) = arrays
        return float(np.mean((array @ [1.0, 1e3] - features[:, 0]) ** 2))

    found = permutation_importance([features], [groups], loss, permute_count=5, seed=1)[0]
    assert found["same"] == {"median": 0.0, "loss_impacts": [0.0] * 5}
    assert found["useful"]["median"] > 0.5


@pytest.mark.parametrize("bins", [3, 5])
def test_bins_of_a_label_that_is_mostly_zero_are_reported_and_decode(
    home: Path, bins: int
) -> None:
    """B53: from row to cached array and back."""
    data = pd.DataFrame({"a": np.arange(40.0), "rain": [0.0] * 36 + [1.0, 2.0, 3.0, 4.0]})
    dataset = Dataset.Tabular.from_df(data)
    label = Label.from_dataset(dataset.id, "rain")
    encoder = sk.KBinsDiscretizer(
        bins, encode="ordinal", strategy="quantile", quantile_method="averaged_inverted_cdf"
    )
    with pytest.warns(UserWarning, match=rf"'rain'.* of the {bins} bins"):
        LabelCoder.from_label(label.id, encoder)
    with pytest.warns(UserWarning, match="the values allow 1; stratified by 1"):
        splitset = Splitset.make(Feature.from_dataset(dataset.id, "a").id, label.id, seed=1)
    with pytest.warns(UserWarning, match=rf"'rain'.* of the {bins} bins"):
        splitset.cache_samples()
    fitted = Splitset.get_by_id(splitset.id).fitted.label.encoder
    back = encode.invert(fitted, splitset.fetch_cache("train", "label"))
    assert np.isfinite(back["rain"]).all()


def test_whole_numbers_of_numpy_are_stored_as_numbers_on_every_row(home: Path) -> None:
    """B81: sizes, ids, seeds and positions."""
    frame = pd.DataFrame({"a": np.arange(30.0), "y": np.arange(30) % 2})
    dataset = Dataset.Tabular.from_df(frame)
    windowed = Feature.from_dataset(np.int64(dataset.id), ["a"])
    Window.from_feature(np.int64(windowed.id), np.int64(3), np.int32(2))
    feature = Feature.from_dataset(dataset.id, ["a"])
    label = Label.from_dataset(dataset.id, "y")
    splitset = Splitset.make(np.int64(feature.id), np.int64(label.id), size_test=np.float64(0.2),
                             fold_count=np.int64(2), seed=np.int64(7))  # fmt: skip
    columns = {
        "window": ["size_window", "size_shift", "window_count", "feature_id"],
        "splitset": ["fold_count", "seed", "gap", "label_id"],
        "splitsetfeature": ["idx", "feature_id"],
    }
    for table, names in columns.items():
        kinds = ", ".join(f"typeof({name})" for name in names)
        found = metastore.execute_sql(f"SELECT {kinds} FROM {table}").fetchall()  # noqa: S608
        assert set(found) == {("integer",) * len(names)}
    again = Splitset.get_by_id(splitset.id)
    assert (again.seed, again.size_test, again.fold_count) == (7, 0.2, 2)
    row = lines.queue({"weight": [1]}, repeat_count=np.int64(2), permute_count=np.int32(0))
    kinds = "typeof(repeat_count), typeof(permute_count), typeof(total_runs)"
    found = metastore.execute_sql(f"SELECT {kinds} FROM queue").fetchall()  # noqa: S608
    assert (found, row.total_runs) == ([("integer",) * 3], 2 * lines.FOLDS)


def test_a_history_of_the_frameworks_own_numbers_is_recorded(home: Path) -> None:
    """B04: what was trained is not lost for the type of a number."""

    def train(model: Any, loser: Any, o: Any, x: Any, y: Any, a: Any, b: Any, **hp: Any) -> Any:
        import numpy as np

        return {"loss": [np.float32(0.5)], "val_loss": np.array([0.4], "float32")}, model

    row = lines.queue({"weight": [1]}, cut={"fold_count": None}, train=train)
    row.run_jobs(progress=False)
    (predictor,) = Predictor.select()
    assert predictor.history == {"loss": [0.5], "val_loss": [pytest.approx(0.4)]}


def test_a_filter_of_dtypes_works_beside_every_dtype_of_pandas(home: Path) -> None:
    """B02: given as a name or as a type; strings and nullable dtypes are no numpy dtypes."""
    frame = pd.DataFrame(
        {
            "s": ["x", "y"],
            "c": pd.Series(["u", "v"], dtype="category"),
            "i": pd.Series([1, None], dtype="Int64"),
            "f": [1.0, 2.0],
        }
    )
    dataset = Dataset.Tabular.from_df(frame)
    for dtypes in (["float64"], [np.float64], [float]):
        feature = Feature.from_dataset(dataset.id)
        filled = FeatureInterpolater.from_feature(feature.id, dtypes=dtypes)
        scaled = FeatureCoder.from_feature(feature.id, sk.MinMaxScaler(), dtypes=dtypes)
        assert filled.matching_columns == scaled.matching_columns == ["f"]
        assert scaled.original_filter["dtypes"] == ["float64"]
        assert filled.leftover_columns == scaled.leftover_columns == ["s", "c", "i"]


@pytest.mark.parametrize("interpolated", ["feature", "label"])
def test_what_an_interpolater_fills_can_be_encoded_and_cut(home: Path, interpolated: str) -> None:
    """B23: an encoder that takes no blanks is tried on what it will be given."""
    level = np.where(np.arange(40) % 5 == 2, np.nan, np.arange(40) / 3)
    dataset = Dataset.Tabular.from_df(pd.DataFrame({"level": level, "a": np.arange(40.0)}))
    bins = sk.KBinsDiscretizer(3, encode="ordinal", strategy="uniform")
    names = ("level", "a") if interpolated == "feature" else ("a", "level")
    feature = Feature.from_dataset(dataset.id, [names[0]])
    label = Label.from_dataset(dataset.id, [names[1]])
    if interpolated == "feature":
        with pytest.raises(PreprocessError, match="NaN"):
            FeatureCoder.from_feature(feature.id, bins)
        FeatureInterpolater.from_feature(feature.id)
        FeatureCoder.from_feature(feature.id, bins)
    else:
        LabelInterpolater.from_label(label.id)
        LabelCoder.from_label(label.id, bins)
    splitset = Splitset.make([feature.id], label.id, size_test=0.25, fold_count=2, seed=1)
    assert splitset.bin_count == 3
    for fold in splitset.ordered_folds:
        part = "features" if interpolated == "feature" else "label"
        assert set(splitset.fetch_cache("test", part, fold_id=fold.id).ravel()) <= {0.0, 1.0, 2.0}


def test_ten_thousand_classes_are_reported_before_anything_is_that_wide(home: Path) -> None:
    """A07: an identifier taken for a class."""
    dataset = Dataset.Tabular.from_df(pd.DataFrame({"id": np.arange(10_000)}))
    label = Label.from_dataset(dataset.id)
    with pytest.warns(UserWarning, match="'id' has 10000 categories"):
        LabelCoder.from_label(label.id, sk.OneHotEncoder())
    rare = sk.OneHotEncoder(max_categories=5)
    coder = FeatureCoder.from_feature(Feature.from_dataset(dataset.id).id, rare)
    assert len(coder.encoded_column_names) == 5


def test_a_label_of_truth_values_is_two_classes(home: Path) -> None:
    """A07."""
    flags = pd.DataFrame({"ok": [True, False] * 6, "a": np.arange(12.0)})
    dataset = Dataset.Tabular.from_df(flags)
    label = Label.from_dataset(dataset.id, "ok")
    assert label.unique_classes == [False, True]
    splitset = Splitset.make([Feature.from_dataset(dataset.id, "a").id], label.id, seed=1)
    np.testing.assert_array_equal(splitset.fetch_cache("train", "label").ravel(), [1, 0] * 6)


def test_classes_that_are_written_as_floats_are_refused_with_the_fix(home: Path) -> None:
    """A07: a measurement taken for a class, or a class for a measurement."""
    dataset = Dataset.Tabular.from_df(
        pd.DataFrame({"a": np.arange(12.0), "y": [0.0, 1.0, 2.0] * 4})
    )
    label = Label.from_dataset(dataset.id, "y")
    splitset = Splitset.make([Feature.from_dataset(dataset.id, "a").id], label.id, seed=1)
    algorithm = Algorithm.make("pytorch", "classification_multi", lines.fn_build, lines.fn_train)
    with pytest.raises(AlgorithmError, match=r"'y'.*'float64'.*retype whole numbers to int"):
        Queue.from_algorithm(algorithm.id, splitset.id)
    assert Queue.select().count() == 0


@pytest.mark.filterwarnings("ignore:fold_count", "ignore:Splitset.make. the split")
@pytest.mark.parametrize(
    ("rows", "arguments", "counts"),
    [
        (11, {"size_test": None, "fold_count": 10}, [11]),
        (10, {"size_test": 0.7, "size_validation": 0.2}, [1, 2, 7]),
        (100, {"size_test": 0.07, "size_validation": 0.28}, [65, 28, 7]),
        (10, {"size_test": 0.1 + 0.2}, [6, 4]),
    ],
)
def test_sizes_sum_to_the_rows_and_no_row_is_twice(
    home: Path, rows: int, arguments: dict[str, Any], counts: list[int]
) -> None:
    """A06: shares are the decimals that were written."""
    feature = Feature.from_dataset(
        Dataset.Tabular.from_df(pd.DataFrame({"a": np.arange(1.0 * rows)})).id
    )
    splitset = Splitset.make([feature.id], seed=1, **arguments)
    assert [len(taken) for taken in splitset.samples.values()] == counts
    for part in (splitset, *splitset.ordered_folds):
        taken = np.concatenate(list(part.positions().values()))
        assert sorted(taken) == list(range(rows))
    assert len(splitset.ordered_folds) == (arguments.get("fold_count") or 0)


def test_rows_of_a_label_stay_beside_the_rows_of_its_features(home: Path) -> None:
    """A01: registered apart, in splits whose positions are in no order of the file."""
    shuffled = pd.DataFrame({"a": np.arange(40.0)}).sample(frac=1, random_state=1)
    with pytest.raises(IngestError, match="reset_index"):
        Dataset.Tabular.from_df(shuffled)
    frame = shuffled.reset_index(drop=True)
    feature = Feature.from_dataset(Dataset.Tabular.from_df(frame).id)
    label = Label.from_dataset(Dataset.Tabular.from_df(frame.rename(columns={"a": "y"}) * 10).id)
    splitset = Splitset.make([feature.id], label.id, size_test=0.3, fold_count=2, seed=2)
    assert feature.to_df(samples=[0])["a"].item() == frame["a"].iloc[0]
    for fold in splitset.ordered_folds:
        for split in fold.samples:
            features = splitset.fetch_cache(split, "features", fold_id=fold.id)
            labels = splitset.fetch_cache(split, "label", fold_id=fold.id)
            np.testing.assert_array_equal(labels, features * 10)


@pytest.mark.parametrize("part", ["cache", "cache/samples", "train", "manifest.json"])
def test_what_is_deleted_of_a_hot_cache_is_built_again(home: Path, part: str) -> None:
    """A10, B77: never called hot, never served short."""
    splitset = cut(pd.DataFrame({"a": np.arange(12.0)}), sk.StandardScaler())
    before = np.array(splitset.fetch_cache("train", "features"))
    assert splitset.cache_hot
    gone = home / part if part.startswith("cache") else next(home.rglob(part))
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    assert not splitset.cache_hot
    np.testing.assert_array_equal(splitset.fetch_cache("train", "features"), before)
    assert splitset.cache_hot


@pytest.mark.parametrize("clear", [Splitset.clear_cache, lambda _: clear_cache_all()])
def test_a_cleared_cache_is_cold_and_built_again(
    home: Path, clear: Callable[[Splitset], None]
) -> None:
    """B77: with Folds, each of which is asked for by itself."""
    frame = pd.DataFrame({"a": np.arange(12.0)})
    splitset = cut(frame, sk.StandardScaler(), fold_count=3)
    splitset.cache_samples()
    one, *others = splitset.ordered_folds
    before = np.array(splitset.fetch_cache("fold_validation", "features", one.id))
    clear(splitset)
    assert (splitset.cache_hot, Splitset.get_by_id(splitset.id).cache_hot) == (False, False)
    after = splitset.fetch_cache("fold_validation", "features", one.id)
    np.testing.assert_array_equal(after, before)
    assert not splitset.cache_hot  # the other Folds are missing still
    for other in others:
        splitset.fetch_cache("test", "label", other.id)
    assert splitset.cache_hot


def test_a_cleared_cache_whose_source_is_gone_says_so(home: Path, tmp_path: Path) -> None:
    """B77: an error with the source's name, and nothing that looks like samples."""
    path = tmp_path / "rows.csv"
    pd.DataFrame({"a": np.arange(12.0)}).to_csv(path, index=False)
    feature = Feature.from_dataset(Dataset.Tabular.from_path(path, ingest=False).id)
    label = Label.from_dataset(Dataset.Tabular.from_df(CLASSES).id)
    splitset = Splitset.make([feature.id], label.id, size_test=0.25, seed=1)
    splitset.cache_samples()
    path.unlink()
    assert len(splitset.fetch_cache("test", "features")) == 3  # the samples are all there
    splitset.clear_cache()
    with pytest.raises(IngestError, match=r"there is no file .*rows\.csv"):
        splitset.fetch_cache("test", "features")
    assert not splitset.cache_hot


@pytest.mark.parametrize("kind", ["rows.csv", "walk.npy", "images"])
def test_a_source_that_changed_is_refused_before_samples_are_made(
    home: Path, tmp_path: Path, kind: str
) -> None:
    """A11: no samples of the new rows under the old row's name, and the row stays as it was."""

    def write(values: np.ndarray) -> None:
        if kind == "images":
            (tmp_path / kind).mkdir(exist_ok=True)
            for row, value in enumerate(values.astype(np.float32)):
                Image.fromarray(np.full((2, 2), value)).save(tmp_path / kind / f"{row}.tiff")
        elif kind.endswith("csv"):
            pd.DataFrame({"a": values}).to_csv(tmp_path / kind, index=False)
        else:
            np.save(tmp_path / kind, values.reshape(-1, 1, 1))

    write(np.arange(12.0))
    register = {
        "rows.csv": Dataset.Tabular.from_path,
        "walk.npy": Dataset.Sequence.from_numpy,
        "images": Dataset.Image.from_folder,
    }[kind]
    dataset = register(tmp_path / kind, ingest=False)
    label = Label.from_dataset(Dataset.Tabular.from_df(CLASSES).id)
    splitset = Splitset.make([Feature.from_dataset(dataset.id).id], label.id, seed=1)
    write(np.arange(12.0) + np.eye(12)[5] * 1e-5)
    with pytest.raises(IngestError, match=rf"{kind} has changed since it was registered"):
        splitset.cache_samples()
    assert not splitset.cache_hot
    assert not list(config.samples_path().rglob("*.npy"))
    assert Dataset.get_by_id(dataset.id).sha256_hexdigest == dataset.sha256_hexdigest
