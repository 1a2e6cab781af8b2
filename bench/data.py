"""Data at scale: reading, cutting, caching, windows and images, each against the bare libraries.

Tables of a million rows and 20 columns are registered from CSV and Parquet (against pandas and
pyarrow, which they wrap, and SHA-256 of the file), cut and cached with 3 Folds (against
scikit-learn by hand, writing the same files). A Window is laid over a million rows, 10,000 images
are read from a folder (against a loop over Pillow). All data is generated.

    python bench/data.py [--rows N] [--images N] [--rounds N] [--json]
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import tracemalloc
import warnings
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from threading import Thread
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from PIL import Image
from rich.console import Console
from rich.table import Table
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.preprocessing import StandardScaler

from aiqc_core import config
from aiqc_core.config import use_home
from aiqc_core.orm import Dataset, Feature, FeatureCoder, Label, Splitset, Window
from aiqc_core.orm.store import blobs
from aiqc_core.orm.store.sqlite import PAGE_BYTES
from aiqc_core.stages.preprocess import samples, window

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    Side = Callable[[], object]

COLUMNS, FOLDS, SIZE_TEST = 20, 3, 0.2
SIZE_WINDOW, SIZE_SHIFT = 100, 1
PIXELS = 32
# side: the bare one, what is compared, and the goal
COMPARISONS: dict[str, tuple[str, str, float | None]] = {
    "csv": ("csv_bare", "CSV, from_path : pandas + SHA-256", 1.2),
    "csv_outside": ("csv_bare", "  with ingest=False", 1.2),
    "parquet": ("parquet_bare", "Parquet, from_path : pyarrow + SHA-256", 1.2),
    "parquet_objects": ("parquet_bare", "  with AIQC_ARTIFACTS=file://", 1.2),
    "parquet_floor": ("parquet_bare", "  the bare one and its bytes to SQLite", None),
    "parquet_outside": ("parquet_bare", "  with ingest=False", 1.2),
    "make": ("make_bare", "the cut, Splitset.make : scikit-learn", None),
    "cache": ("cache_bare", "3 Folds, cache_samples : scikit-learn", 1.3),
    "cache_leaks": ("cache_bare", "  with near-duplicates counted", None),
    "images": ("images_bare", "images, from_folder : Pillow loop", None),
    "images_inside": ("images_bare", "  with ingest=True", None),
}


def main() -> None:
    """Measure each part in turn and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--window", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="fold_count: .* do not divide")
    if options.window:
        print(json.dumps(window_figures(options.rows)))
        return
    figures = window_figures_apart(options.rows)
    with tempfile.TemporaryDirectory() as folder:
        frame = generated(options.rows)
        for bench in (bench_tables, bench_samples):
            figures |= bench(Path(folder), frame, options.rounds)
        del frame
        figures |= bench_images(Path(folder), options.images, options.rounds)
    report(figures | {"peak_rss_mb": peak_rss_mb()}, as_json=options.json)


def generated(rows: int) -> pd.DataFrame:
    """Return normally distributed columns."""
    values = np.random.default_rng(0).normal(size=(rows, COLUMNS))
    return pd.DataFrame(values, columns=[f"c{i}" for i in range(COLUMNS)])


def interleaved(
    sides: dict[str, Side], rounds: int, place: Callable[[], AbstractContextManager[None]]
) -> dict[str, list[float]]:
    """Time each side in turn, round by round, each in its place: `{side: seconds by round}`."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            with place():
                gc.collect()
                before = time.perf_counter()
                side()
                seconds[name].append(time.perf_counter() - before)
    return seconds


def typical(seconds: dict[str, list[float]]) -> dict[str, float]:
    """Return median seconds, and median ratios to the bare side of the same round."""
    ratios = {
        f"{name}_ratio": [s / bare for s, bare in zip(seconds[name], seconds[other], strict=True)]
        for name, (other, _, _) in COMPARISONS.items()
        if name in seconds
    }
    times = {f"{name}_seconds": values for name, values in seconds.items()}
    return {name: median(values) for name, values in (times | ratios).items()}


@contextmanager
def fresh_store() -> Generator[None]:
    """Use an empty store, and delete it."""
    with tempfile.TemporaryDirectory() as home, use_home(home):
        Dataset.select().count()  # opens the store, which makes its tables
        yield


def bench_tables(folder: Path, frame: pd.DataFrame, rounds: int) -> dict[str, float]:
    """Register a CSV and a Parquet file: `Dataset.Tabular.from_path`."""
    csv, parquet = str(folder / "table.csv"), str(folder / "table.parquet")
    table = pa.Table.from_pandas(frame, preserve_index=False)
    pa.csv.write_csv(table, csv)
    pq.write_table(table, parquet)
    from_path = Dataset.Tabular.from_path
    data = memoryview(Path(parquet).read_bytes())
    sides: dict[str, Side] = {
        "csv_bare": lambda: (pd.read_csv(csv), file_sha256(csv)),
        "csv": lambda: from_path(csv),
        "csv_outside": lambda: from_path(csv, ingest=False),
        "parquet_bare": lambda: (pq.read_table(parquet).to_pandas(), file_sha256(parquet)),
        "parquet": lambda: from_path(parquet),
        "parquet_objects": lambda: to_objects(from_path, parquet),
        "parquet_floor": lambda: (sides["parquet_bare"](), write_by_hand(data)),
        "parquet_outside": lambda: from_path(parquet, ingest=False),
    }
    return typical(interleaved(sides, rounds, fresh_store))


def to_objects(from_path: Callable[[str], Dataset], path: str) -> None:
    """Register a file whose bytes go to an object store in a folder beside the metastore."""
    url = f"file://{config.home() / 'objects'}"
    with mock.patch.dict(os.environ, {config.ARTIFACTS_VARIABLE: url}):
        dataset = from_path(path)
        assert (
            blobs.BlobChunk.select()
            .where(blobs.BlobChunk.blob == dataset.__data__["blob"])
            .count()
            == 0
        )


def write_by_hand(data: memoryview) -> None:
    """Write bytes to a bare SQLite file in one transaction, in pages and a log as the store's.

    As there, the log is copied into the file beside what follows.
    """
    path = config.home() / "bare.sqlite"
    bare = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    bare.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    bare.execute("PRAGMA journal_mode = wal")
    bare.execute("PRAGMA synchronous = normal")
    bare.execute("PRAGMA wal_autocheckpoint = 0")
    bare.execute("CREATE TABLE piece (data BLOB)")
    bare.execute("BEGIN")
    for start in range(0, len(data), blobs.CHUNK_BYTES):
        bare.execute("INSERT INTO piece VALUES (?)", (data[start : start + blobs.CHUNK_BYTES],))
    bare.execute("COMMIT")
    Thread(target=bare.close).start()


def file_sha256(path: str) -> str:
    """Return the SHA-256 of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def bench_samples(folder: Path, frame: pd.DataFrame, rounds: int) -> dict[str, float]:
    """Cut and cache samples with the Label in another Dataset."""
    classes = pd.DataFrame({"y": np.random.default_rng(1).integers(0, 2, len(frame))})
    by_hand = folder / "by_hand"
    with use_home(folder / "store"):
        feature = Feature.from_dataset(Dataset.Tabular.from_df(frame).id)
        FeatureCoder.from_feature(feature.id, StandardScaler())
        label = Label.from_dataset(Dataset.Tabular.from_df(classes).id)

        def make() -> Splitset:
            return Splitset.make(
                [feature.id], label.id, size_test=SIZE_TEST, fold_count=FOLDS, seed=1
            )

        with mock.patch.object(blobs, "read", side_effect=blobs.read) as reads:
            splitset = make()
        feature_reads = reads.call_args_list.count(mock.call(feature.dataset.__data__["blob"]))
        assert reads.call_count > feature_reads, "the Label's bytes were read without being seen"
        assert feature_reads == 0, "Splitset.make read the bytes of the Feature's Dataset"

        def cached(near_duplicates: dict[str, int] | None) -> None:
            splitset.near_duplicates = near_duplicates  # sought only while it is None
            splitset.cache_samples()

        @contextmanager
        def nothing_cached() -> Generator[None]:
            splitset.clear_cache()
            shutil.rmtree(by_hand, ignore_errors=True)
            yield

        folds = [fold.positions() for fold in splitset.ordered_folds]
        sides: dict[str, Side] = {
            "label_read": label.to_arr,
            "make_bare": lambda: cut_by_hand(classes["y"].to_numpy()),
            "make": make,
            "cache_bare": lambda: cache_by_hand(folder / "table.parquet", classes, folds, by_hand),
            "cache_leaks": lambda: cached(None),
            "cache": lambda: cached({}),
        }
        seconds = interleaved(sides, rounds, nothing_cached)
        sides["cache_bare"]()
        refuse_other_arrays(by_hand, Path(splitset.cache_path))
    shutil.rmtree(by_hand)
    shutil.rmtree(folder / "store")
    return typical(seconds) | {"make_feature_reads": feature_reads}


def cut_by_hand(classes: NDArray[Any]) -> list[Any]:
    """Cut positions as `Splitset.make` does, with scikit-learn."""
    train, test = train_test_split(
        np.arange(len(classes)), test_size=SIZE_TEST, stratify=classes, random_state=1
    )
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=1).split(train, classes[train])
    return [test, *((train[fit], train[left]) for fit, left in folds)]


def cache_by_hand(
    parquet: Path, classes: pd.DataFrame, folds: list[dict[str, NDArray[np.int64]]], place: Path
) -> None:
    """Write the files that `cache_samples` writes, with scikit-learn and numpy."""
    features, label = pd.read_parquet(parquet).to_numpy(), classes.to_numpy()
    for index, splits in enumerate(folds):
        scaler = StandardScaler().fit(features[splits["folds_train_combined"]])
        for split, rows in splits.items():
            folder = place / f"fold_{index}" / split
            folder.mkdir(parents=True, exist_ok=True)
            np.save(folder / "feature_0.npy", scaler.transform(features[rows]))
            np.save(folder / "label.npy", label[rows])


def refuse_other_arrays(by_hand: Path, cached: Path) -> None:
    """Check that both sides wrote the same numbers."""
    files = sorted(path.relative_to(by_hand) for path in by_hand.rglob("*.npy"))
    assert files == sorted(path.relative_to(cached) for path in cached.rglob("*.npy"))
    for file in files:
        ours, bare = (np.load(place / file, mmap_mode="r") for place in (cached, by_hand))
        np.testing.assert_allclose(ours, bare, rtol=1e-9, atol=1e-12)


def bench_images(folder: Path, count: int, rounds: int) -> dict[str, float]:
    """Register a folder of small images: `Dataset.Image.from_folder`."""
    place = folder / "images"
    place.mkdir()
    pixels = np.random.default_rng(2).integers(0, 256, (count, PIXELS, PIXELS, 3), dtype=np.uint8)
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(place / f"{index:06}.png")
    sides: dict[str, Side] = {
        "images_bare": lambda: read_by_hand(place),
        "images": lambda: Dataset.Image.from_folder(str(place)),
        "images_inside": lambda: Dataset.Image.from_folder(str(place), ingest=True),
    }
    return typical(interleaved(sides, rounds, fresh_store))


def read_by_hand(folder: Path) -> NDArray[Any]:
    """Read a folder's images, channels first."""
    arrays: list[NDArray[Any]] = []
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            arrays.append(np.asarray(image).transpose(2, 0, 1))
    return np.stack(arrays)


def window_figures_apart(rows: int) -> dict[str, float]:
    """Return `window_figures` of a process of its own.

    It has to start before this one grows: Linux counts what the parent held as the child's peak.
    """
    command = [sys.executable, __file__, "--window", "--rows", str(rows)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def window_figures(rows: int) -> dict[str, float]:
    """Lay a Window over a table and cache its samples, cut by time."""
    values = np.arange(float(rows)).reshape(-1, 1)
    index_bytes(rows)  # the first call also counts what Python sets up
    figures = {f"window_index_bytes_{n}_rows": index_bytes(n) for n in (rows // 100, rows)}
    view = window.view(values, window.plan(rows, SIZE_WINDOW, SIZE_SHIFT))
    assert np.shares_memory(view, values), "the windows of an array were copied"
    with tempfile.TemporaryDirectory() as home, use_home(home):
        feature = Feature.from_dataset(Dataset.Tabular.from_df(pd.DataFrame(values)).id)
        Window.from_feature(feature.id, SIZE_WINDOW, SIZE_SHIFT)
        rss = {"window_rss_before_mb": peak_rss_mb()}
        before = time.perf_counter()
        splitset = Splitset.make(
            [feature.id], size_test=SIZE_TEST, time_ordered=True, gap=SIZE_WINDOW
        )
        made = time.perf_counter()
        splitset.cache_samples()
        cached = time.perf_counter()
        size = sum(path.stat().st_size for path in Path(splitset.cache_path).rglob("*.npy"))
        prepared = samples.prepare(feature.to_df(), feature.recipe(), splitset.positions())
        train = prepared.samples("train")
    return figures | rss | {
        "window_samples_are_views": float(train.strides[0] == train.strides[1]),
        "window_make_seconds": made - before,
        "window_cache_seconds": cached - made,
        "window_cache_mb": size / 2**20,
        "window_peak_rss_mb": peak_rss_mb(),
    }  # fmt: skip


def index_bytes(rows: int) -> int:
    """Return the most memory that a Window's rule takes, with the rows of one window."""
    tracemalloc.start()
    rule = window.plan(rows, SIZE_WINDOW, SIZE_SHIFT)
    rule.start(rule.count - 1, shifted=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def peak_rss_mb() -> float:
    """Return the most memory that this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def report(figures: dict[str, float], *, as_json: bool) -> None:
    """Print a table; with `--json` one object on the last line."""
    table = Table(title="Data at scale, medians")
    table.add_column("comparison")
    for title in ("bare, s", "aiqc, s", "ratio", "goal"):
        table.add_column(title, justify="right")
    for name, (bare, title, goal) in COMPARISONS.items():
        sides = (figures[f"{side}_seconds"] for side in (bare, name))
        wanted = "" if goal is None else f"{goal:.1f}"
        table.add_row(
            title, *(f"{s:.2f}" for s in sides), f"{figures[f'{name}_ratio']:.2f}", wanted
        )
    others = Table(title="Other figures")
    others.add_column("figure")
    others.add_column("value", justify="right")
    for name, value in figures.items():
        if not name.endswith(("_seconds", "_ratio")) or name.startswith(("window", "label")):
            others.add_row(name.replace("_", " "), f"{value:,.2f}")
    console = Console()
    console.print(table, others)
    if as_json:
        print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
