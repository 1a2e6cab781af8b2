"""Fill a small disk, in a process of its own: what is said, and what is there afterwards.

Printed as JSON, a list of what was seen after each step that does not fit.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from aiqc_core import config
from aiqc_core.orm import Dataset, Feature, Splitset, Window, metastore

if TYPE_CHECKING:
    from collections.abc import Callable


def frame(rows: int, seed: int = 0) -> pd.DataFrame:
    """Return numbers that no compression makes smaller."""
    return pd.DataFrame({"a": np.random.default_rng(seed).normal(size=rows)})


def windowed(rows: int, width: int) -> Splitset:
    """Return a cut of windows, whose samples take `width` times what their rows take."""
    dataset = Dataset.Tabular.from_df(frame(rows, seed=width))
    feature = Feature.from_dataset(dataset.id)
    Window.from_feature(feature.id, size_window=width, size_shift=1)
    return Splitset.make([feature.id], size_test=0.2, time_ordered=True, gap=width)


def seen(act: Callable[[], Any]) -> dict[str, Any]:
    """Do what does not fit, and look at the store."""
    before, held = Dataset.select().count(), used()
    try:
        act()
    except Exception as error:  # noqa: BLE001 - which one it is, is what the test asks
        said = {"type": type(error).__name__, "message": str(error)}
    else:
        said = {"type": "", "message": ""}
    metastore.close()
    with closing(sqlite3.connect(config.database_path())) as store:
        sound = store.execute("PRAGMA integrity_check").fetchone()[0]
    return said | {
        "sound": sound,
        "more_rows": Dataset.select().count() - before,
        "more_bytes": used() - held,
    }


def used() -> int:
    """Return how many bytes lie beside the metastore, whose log comes and goes."""
    files = [p for p in config.home().rglob("*") if p.is_file()]
    return sum(p.stat().st_size for p in files if not p.name.startswith("aiqc.sqlite"))


def fill_up() -> None:
    """Register data of a few MiB until no more fit."""
    for seed in range(100):
        Dataset.Tabular.from_df(frame(500_000, seed))


def main() -> None:
    """Meet the end of the disk three times, and go on with less each time."""
    Dataset.Tabular.from_df(frame(100))
    reported = [seen(lambda: Dataset.Tabular.from_df(frame(6_000_000)))]
    reported.append(seen(windowed(20_000, 1000).cache_samples))
    narrow = windowed(1_000, 2)
    narrow.cache_samples()
    ballast = config.home() / "ballast"
    ballast.write_bytes(b"x" * 5_000_000)
    reported.append(seen(fill_up))
    ballast.unlink()
    Dataset.Tabular.from_df(frame(200))
    kept = [len(dataset.to_df()) for dataset in Dataset.select()]
    sys.stdout.write(json.dumps({"reported": reported, "kept": kept}) + "\n")


if __name__ == "__main__":
    main()
