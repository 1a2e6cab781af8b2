"""What is refused leaves the store byte for byte as it was, and no file behind."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn import preprocessing as sk

from aiqc_core import config
from aiqc_core.errors import (
    AIQCError,
    IngestError,
    NotFoundError,
    PreprocessError,
    SelectionError,
    SplitError,
)
from aiqc_core.orm import (
    Dataset,
    Feature,
    FeatureCoder,
    FeatureInterpolater,
    FeatureShaper,
    Label,
    LabelCoder,
    LabelInterpolater,
    Splitset,
    Window,
    metastore,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Refused = tuple[str, type[AIQCError], str, "Callable[[Any], object]"]
ROWS = 30


class Store:
    """The rows that a refused call builds upon, and a folder of faulty sources."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        steps = np.arange(ROWS)
        self.frame = pd.DataFrame(
            {
                "a": steps * 0.5,
                "gap": np.where(steps % 7 == 3, np.nan, steps * 1.0),
                "n": steps,
                "word": np.array(["u", "v", "w"])[steps % 3],
                "y": steps % 2,
                "rare": ["x"] * (ROWS - 1) + ["once"],
                "hot": 1 - steps % 2,
                "one": 1,
                "blank": [None, *"pq" * 14, "p"],
            }
        )
        self.table = Dataset.Tabular.from_df(self.frame, name="table")
        self.walk = Dataset.Sequence.from_numpy(np.zeros((ROWS, 4, 2)))
        self.sequence = Feature.from_dataset(self.walk.id)
        self.feature = self.of("a", "gap", "n", "word")
        FeatureCoder.from_feature(self.feature.id, sk.StandardScaler(), columns=["a"])
        FeatureInterpolater.from_feature(self.feature.id, columns=["gap"])
        self.label = self.labelled("y")
        LabelCoder.from_label(self.label.id, sk.OrdinalEncoder())
        self.cut = Splitset.make([self.of("a").id], self.label.id, size_test=0.2, seed=1)
        self.shaped = self.of("a", "n")
        FeatureShaper.from_feature(self.shaped.id, (0, "1", 1))
        self.windowed = self.of("a")
        Window.from_feature(self.windowed.id, 4, 2)
        self.lossy = self.of("a")
        FeatureCoder.from_feature(self.lossy.id, sk.Normalizer())
        self.filled = self.labelled("gap")
        LabelInterpolater.from_label(self.filled.id)

    def of(self, *columns: str) -> Any:
        """Return a new Feature of some columns."""
        return Feature.from_dataset(self.table.id, list(columns))

    def labelled(self, *columns: str) -> Any:
        """Return a new Label of some columns."""
        return Label.from_dataset(self.table.id, list(columns))

    def file(self, name: str, content: bytes) -> Path:
        """Return a file with some content."""
        path = self.folder / name
        path.write_bytes(content)
        return path

    def images(self, *sizes: tuple[int, int]) -> Path:
        """Return a folder of images of these sizes, the last one cut short."""
        folder = self.folder / f"images{len(sizes)}"
        folder.mkdir()
        for idx, size in enumerate(sizes):
            Image.new("RGB", size).save(folder / f"{idx}.png")
        whole = (folder / f"{idx}.png").read_bytes()
        (folder / f"{idx}.png").write_bytes(whole[: len(whole) // 2])
        return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("refusals")
    with config.use_home(folder / "aiqc"), pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(folder / "aiqc"))  # what is left there is seen too
        yield Store(folder)


def content() -> tuple[bytes, list[str]]:
    """Return the bytes of the metastore with its log folded in, and the names of all files."""
    metastore.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    names = [str(p.relative_to(config.home())) for p in config.home().rglob("*")]
    return config.database_path().read_bytes(), sorted(names)


def table(**arguments: Any) -> Callable[[Store], object]:
    return lambda s: Dataset.Tabular.from_df(**({"dataframe": s.frame} | arguments))


def path(name: str, data: bytes, **arguments: Any) -> Callable[[Store], object]:
    return lambda s: Dataset.Tabular.from_path(s.file(name, data), **arguments)


def walk(array: Any, **arguments: Any) -> Callable[[Store], object]:
    return lambda _: Dataset.Sequence.from_numpy(array, **arguments)


def cut(**arguments: Any) -> Callable[[Store], object]:
    def make(s: Store) -> object:
        given = {"feature_ids": [s.cut.feature_ids[0]], "label_id": s.label.id, "seed": 1}
        return Splitset.make(
            **(given | {n: v(s) if callable(v) else v for n, v in arguments.items()})
        )

    return make


DATASETS: list[Refused] = [
    (
        "an index",
        IngestError,
        r"reset_index",
        table(dataframe=pd.DataFrame({"a": [1]}, index=[5])),
    ),
    (
        "text labels",
        IngestError,
        "reset_index",
        table(dataframe=pd.DataFrame({"a": [1]}, index=["r"])),
    ),
    (
        "B42 names",
        IngestError,
        "repeat",
        table(dataframe=pd.DataFrame([[1, 2]], columns=["a", "a"])),
    ),
    (
        "B42 1 and '1'",
        IngestError,
        "repeat",
        table(dataframe=pd.DataFrame([[1, 2]], columns=[1, "1"])),
    ),
    (
        "B42 rename",
        IngestError,
        "repeat",
        table(dataframe=pd.DataFrame({"a": [1], "b": [2]}), rename_columns=["x", "x"]),
    ),
    ("B42 csv", IngestError, "'a'", path("twice.csv", b"a,a,b\n1,2,3\n")),
    ("B48 mixed", IngestError, r"'a'.*1", table(dataframe=pd.DataFrame({"a": [1, "x", 2.5]}))),
    ("B48 complex", IngestError, "'a'", table(dataframe=pd.DataFrame({"a": [1 + 2j]}))),
    (
        "B44 too large",
        IngestError,
        "'a'",
        table(dataframe=pd.DataFrame({"a": [2**64, 1]}, dtype=object)),
    ),
    ("B45 latin-1", IngestError, r"latin\.csv", path("latin.csv", b"a\ncaf\xe9\n")),
    ("no rows", IngestError, "shape", table(dataframe=pd.DataFrame({"a": []}))),
    ("no frame", IngestError, "DataFrame", table(dataframe=[1, 2])),
    ("retype NaN", IngestError, "'gap'", table(retype={"gap": "int64"})),
    ("retype 300", IngestError, "'a'", table(dataframe=pd.DataFrame({"a": [300]}), retype="int8")),
    ("retype unknown", SelectionError, "'z'", table(retype={"z": "int64"})),
    ("ending", IngestError, "end in", path("rows.xlsx", b"PK")),
    (
        "missing file",
        IngestError,
        "nowhere",
        lambda s: Dataset.Tabular.from_path(s.folder / "nowhere.csv"),
    ),
    ("no parquet", IngestError, "rows.parquet", path("rows.parquet", b"PAR1")),
    ("empty csv", IngestError, "empty.csv", path("empty.csv", b"")),
    ("another typ", IngestError, "typ 'tabular'", walk(np.zeros((2, 3, 1)), name="table")),
    ("two axes", IngestError, "3", walk(np.zeros((2, 3)))),
    ("objects", IngestError, "object", walk(np.array([[[None]]]))),
    ("empty array", IngestError, "shape", walk(np.zeros((0, 3, 2)))),
    ("structured", IngestError, "x", walk(np.zeros((1, 1, 1), dtype=[("x", "f8")]))),
    ("names", IngestError, "rename_columns", walk(np.zeros((2, 3, 2)), rename_columns=["x"])),
    ("outside in memory", IngestError, "numpy.save", walk(np.zeros((2, 3, 2)), ingest=False)),
    (
        "pickled npy",
        IngestError,
        r"p\.npy",
        lambda s: Dataset.Sequence.from_numpy(s.file("p.npy", b"\x80\x04N.")),
    ),
    (
        "B36 cut short",
        IngestError,
        r"2\.png",
        lambda s: Dataset.Image.from_folder(s.images((4, 4), (4, 4), (4, 4))),
    ),
    (
        "sizes differ",
        IngestError,
        r"\.png",
        lambda s: Dataset.Image.from_folder(s.images((4, 4), (5, 4)), ingest=True),
    ),
    (
        "B37 no http",
        IngestError,
        "ftp://",
        lambda _: Dataset.Image.from_urls(["ftp://127.0.0.1/a.png"]),
    ),
    ("rename later", IngestError, "version 1", lambda s: s.table.set_info(name="other")),
]
COLUMNS: list[Refused] = [
    ("no Dataset", NotFoundError, "999", lambda _: Feature.from_dataset(999)),
    ("empty include", SelectionError, "none given", lambda s: s.of()),
    (
        "None included",
        SelectionError,
        "None",
        lambda s: Feature.from_dataset(s.table.id, ["a", None]),
    ),  # type: ignore[list-item]
    ("twice included", SelectionError, "twice", lambda s: s.of("a", "a")),
    (
        "unknown excluded",
        SelectionError,
        "'z'",
        lambda s: Feature.from_dataset(s.table.id, exclude_columns=["z"]),
    ),
    (
        "all excluded",
        SelectionError,
        "no column",
        lambda s: Feature.from_dataset(s.table.id, exclude_columns=list(s.frame)),
    ),
    ("both", SelectionError, "not both", lambda s: Feature.from_dataset(s.table.id, ["a"], ["y"])),
    ("label of a sequence", SelectionError, "tabular", lambda s: Label.from_dataset(s.walk.id)),
    ("empty label", SelectionError, "none given", lambda s: s.labelled()),
    ("A08 not one-hot", SelectionError, "one-hot", lambda s: s.labelled("y", "n")),
    ("A08 text", SelectionError, "one-hot", lambda s: s.labelled("word", "rare")),
]
STEPS: list[Refused] = [
    (
        "no float",
        PreprocessError,
        "'n'",
        lambda s: FeatureInterpolater.from_feature(s.of("n", "a").id, columns=["n"]),
    ),
    (
        "int dtype",
        PreprocessError,
        "'n'",
        lambda s: FeatureInterpolater.from_feature(s.of("n", "a").id, dtypes=["int64"]),
    ),
    (
        "nothing left",
        PreprocessError,
        "none is left",
        lambda s: FeatureInterpolater.from_feature(s.of("n").id),
    ),
    (
        "filled twice",
        SelectionError,
        "'gap'",
        lambda s: FeatureInterpolater.from_feature(s.feature.id, columns=["gap"]),
    ),
    (
        "method",
        PreprocessError,
        "'ffill'",
        lambda s: FeatureInterpolater.from_feature(
            s.of("a").id, interpolate_kwargs={"method": "ffill"}
        ),
    ),
    (
        "axis",
        PreprocessError,
        "axis",
        lambda s: FeatureInterpolater.from_feature(
            s.of("a").id, interpolate_kwargs={"method": "linear", "axis": 1}
        ),
    ),
    (
        "label filled twice",
        PreprocessError,
        "has a LabelInterpolater",
        lambda s: LabelInterpolater.from_label(s.filled.id),
    ),
    ("label no float", PreprocessError, "'y'", lambda s: LabelInterpolater.from_label(s.label.id)),
    (
        "a class",
        PreprocessError,
        "StandardScaler",
        lambda s: FeatureCoder.from_feature(s.of("a").id, sk.StandardScaler),
    ),
    (
        "a function",
        PreprocessError,
        "scale",
        lambda s: FeatureCoder.from_feature(s.of("a").id, sk.scale),
    ),
    (
        "learns from y",
        PreprocessError,
        "TargetEncoder",
        lambda s: FeatureCoder.from_feature(s.of("a").id, sk.TargetEncoder()),
    ),
    (
        "text scaled",
        PreprocessError,
        "'word'",
        lambda s: FeatureCoder.from_feature(s.of("word").id, sk.StandardScaler()),
    ),
    (
        "no dtype",
        SelectionError,
        "bool",
        lambda s: FeatureCoder.from_feature(s.of("a").id, sk.MinMaxScaler(), dtypes=["bool"]),
    ),
    (
        "no match",
        SelectionError,
        "no column matches",
        lambda s: FeatureCoder.from_feature(
            s.of("a").id, sk.MinMaxScaler(), include=False, columns=["a"]
        ),
    ),
    (
        "taken",
        SelectionError,
        "'a'",
        lambda s: FeatureCoder.from_feature(s.feature.id, sk.MinMaxScaler(), columns=["a"]),
    ),
    (
        "empty filter",
        SelectionError,
        "none given",
        lambda s: FeatureCoder.from_feature(s.of("a").id, sk.MinMaxScaler(), columns=[]),
    ),
    (
        "B52 no inverse",
        PreprocessError,
        "no inverse",
        lambda s: LabelCoder.from_label(s.labelled("a").id, sk.FunctionTransformer(np.log1p)),
    ),
    (
        "feature separately",
        PreprocessError,
        "process_separately: 'no'; give True or False",
        lambda s: FeatureInterpolater.from_feature(s.of("gap").id, process_separately="no"),
    ),
    (
        "label separately",
        PreprocessError,
        "process_separately: 0; give True or False",
        lambda s: LabelInterpolater.from_label(s.labelled("gap").id, process_separately=0),
    ),
    (
        "B52 Binarizer",
        PreprocessError,
        "no inverse",
        lambda s: LabelCoder.from_label(s.labelled("a").id, sk.Binarizer()),
    ),
    (
        "label coded twice",
        PreprocessError,
        "has a LabelCoder",
        lambda s: LabelCoder.from_label(s.label.id, sk.OrdinalEncoder()),
    ),
    (
        "label unfit",
        PreprocessError,
        "'word'",
        lambda s: LabelCoder.from_label(s.labelled("word").id, sk.StandardScaler()),
    ),
    (
        "column merged",
        PreprocessError,
        "merged",
        lambda s: FeatureShaper.from_feature(s.sequence.id, (0, (1, 2))),
    ),
    (
        "samples not first",
        PreprocessError,
        "comes first",
        lambda s: FeatureShaper.from_feature(s.of("a", "n").id, (1, 0)),
    ),
    (
        "columns dropped",
        PreprocessError,
        "dropped",
        lambda s: FeatureShaper.from_feature(s.of("a", "n").id, (0, "2")),
    ),
    (
        "another count",
        PreprocessError,
        "values a sample",
        lambda s: FeatureShaper.from_feature(s.of("a", "n").id, (0, "3", 1)),
    ),
    (
        "shaped twice",
        PreprocessError,
        "has a shaper",
        lambda s: FeatureShaper.from_feature(s.shaped.id, (0, 1)),
    ),
    (
        "window of 0",
        PreprocessError,
        "size_window: 0",
        lambda s: Window.from_feature(s.of("a").id, 0, 1),
    ),
    (
        "shift of 1.5",
        PreprocessError,
        "size_shift: 1.5",
        lambda s: Window.from_feature(s.of("a").id, 2, 1.5),
    ),  # type: ignore[arg-type]
    (
        "window too long",
        PreprocessError,
        "33 samples would be enough",
        lambda s: Window.from_feature(s.of("a").id, 30, 3),
    ),
    (
        "windowed twice",
        PreprocessError,
        "has a Window",
        lambda s: Window.from_feature(s.windowed.id, 2, 1),
    ),
    (
        "cut already",
        PreprocessError,
        "cut by a Splitset",
        lambda s: Window.from_feature(s.cut.feature_ids[0], 2, 1),
    ),
]
CUTS: list[Refused] = [
    ("no feature", SplitError, "at least one", cut(feature_ids=[])),
    ("a feature twice", SplitError, "each once", cut(feature_ids=lambda s: [s.feature.id] * 2)),
    ("None", NotFoundError, "None", cut(feature_ids=[None])),
    ("no label row", NotFoundError, "999", cut(label_id=999)),
    ("do not pair", SplitError, "do not pair", cut(feature_ids=lambda s: [s.windowed.id])),
    ("A06 0.999", SplitError, "size_test", cut(size_test=0.999)),
    ("A06 sum of 1", SplitError, "none to train", cut(size_test=0.7, size_validation=0.3)),
    ("A06 whole", SplitError, "size_test", cut(size_test=1.0)),
    ("no share", SplitError, "size_validation", cut(size_test=0.2, size_validation=-0.1)),
    ("A06 one fold", SplitError, "fold_count", cut(fold_count=1)),
    ("A06 folds", SplitError, "fold_count", cut(fold_count=ROWS + 1)),
    (
        "B26 rare",
        SplitError,
        r"'once' has 1.*at least 2",
        cut(label_id=lambda s: s.labelled("rare").id, size_test=0.2),
    ),
    (
        "NaN label",
        SplitError,
        r"\[3, 10, 17, 24\]",
        cut(label_id=lambda s: s.labelled("gap").id, size_test=0.2),
    ),
    (
        "None label",
        SplitError,
        r"\[0\]",
        cut(label_id=lambda s: s.labelled("blank").id, size_test=0.2),
    ),
    (
        "bins of words",
        SplitError,
        "bin_count",
        cut(label_id=lambda s: s.labelled("word").id, size_test=0.2, bin_count=3),
    ),
    (
        "one bin",
        SplitError,
        "bin_count",
        cut(label_id=lambda s: s.labelled("a").id, size_test=0.2, bin_count=1),
    ),
    ("group unknown", SplitError, "'ward'", cut(groups="ward", size_test=0.2)),
    ("group missing", SplitError, "missing", cut(groups="gap", size_test=0.2)),
    ("one group", SplitError, "1 groups", cut(groups="one", size_test=0.2)),
    (
        "groups in order",
        SplitError,
        "one of the two",
        cut(groups="n", time_ordered=True, size_test=0.2),
    ),
    ("gap alone", SplitError, "time_ordered=True", cut(gap=2, size_test=0.2)),
    ("gap of all", SplitError, "left to train", cut(gap=ROWS, size_test=0.2, time_ordered=True)),
    ("seed 1.5", SplitError, r"seed: 1\.5", cut(seed=1.5, size_test=0.2)),
    ("seed True", SplitError, "seed: True", cut(seed=True, size_test=0.2)),
    ("seed -1 in order", SplitError, "seed: -1", cut(seed=-1, size_test=0.2, time_ordered=True)),
    ("seed too large", SplitError, r"2\*\*63", cut(seed=2**63, size_test=0.2)),
    (
        "two without a label",
        SplitError,
        "one Feature",
        cut(label_id=None, feature_ids=lambda s: [s.feature.id, s.shaped.id]),
    ),
    (
        "B52 own target",
        PreprocessError,
        "no inverse",
        cut(label_id=None, feature_ids=lambda s: [s.lossy.id]),
    ),
    (
        "order of a text",
        SplitError,
        r"time_ordered: 'no'; give True or False",
        cut(time_ordered="no", size_test=0.2),
    ),
    ("order of a number", SplitError, "time_ordered: 1", cut(time_ordered=1, size_test=0.2)),
    (
        "bins of nothing",
        SplitError,
        "bin_count: 3, but .* no Label and no unsupervised_stratify_col",
        cut(label_id=None, bin_count=3, size_test=0.2),
    ),
    (
        "bins in order",
        SplitError,
        "bin_count: 3, but .* time_ordered or groups",
        cut(bin_count=3, size_test=0.2, time_ordered=True),
    ),
    (
        "bins of groups",
        SplitError,
        "bin_count: 3, but .* time_ordered or groups",
        cut(bin_count=3, size_test=0.2, groups="n"),
    ),
    (
        "bins of one-hot",
        SplitError,
        "bin_count: 3 quantiles of a label that holds no numbers but classes",
        cut(label_id=lambda s: s.labelled("y", "hot").id, bin_count=3, size_test=0.2),
    ),
    (
        "a stratum missing",
        SplitError,
        r"^unsupervised_stratify_col: a sample's value is missing in .* rows, the first are \[3",
        cut(
            label_id=None,
            feature_ids=lambda s: [s.of("gap").id],
            unsupervised_stratify_col="gap",
            size_test=0.2,
        ),
    ),
    ("stratum beside label", SplitError, "Label stratifies", cut(unsupervised_stratify_col="a")),
    (
        "unknown stratum",
        SelectionError,
        "'z'",
        cut(label_id=None, unsupervised_stratify_col="z", size_test=0.2),
    ),
]


@pytest.mark.filterwarnings("ignore:fold_count")
@pytest.mark.parametrize(
    ("error", "message", "call"),
    [pytest.param(*rest, id=name) for name, *rest in (*DATASETS, *COLUMNS, *STEPS, *CUTS)],
)
def test_a_refusal_leaves_the_store_byte_for_byte(
    store: Store, error: type[AIQCError], message: str, call: Callable[[Store], object]
) -> None:
    prepared = Prepared(store)
    with pytest.raises(error, match=message):
        call(prepared)
    assert content() == prepared.before
    assert metastore.connection().in_transaction is False


class Prepared:
    """The store as a refused call sees it, watched from the last row that it made on purpose."""

    def __init__(self, store: Store) -> None:
        self._store, self.before = store, content()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._store, name)
        if name not in ("of", "labelled"):
            return value

        def made(*columns: str) -> Any:
            try:
                return value(*columns)
            finally:
                if columns:
                    self.before = content()

        return made


def test_a_write_that_fails_half_way_leaves_no_row_and_no_bytes(store: Store) -> None:
    """B79: neither the Dataset nor some of its chunks."""
    before = content()
    connection = metastore.connection()
    limit = connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 2**20)
    try:
        with pytest.raises(Exception, match="too big"):
            Dataset.Sequence.from_numpy(np.random.default_rng(0).random((2, 2**17, 1)))
    finally:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, limit)
    assert content() == before


def test_the_comparison_sees_a_single_row(store: Store) -> None:
    before = content()
    store.of("a")
    assert content() != before
