"""The cache holds the same bytes whoever builds it, however many do, and in whatever process."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn import preprocessing as sk

from aiqc_core import config
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
from aiqc_core.storage import cache

if TYPE_CHECKING:
    from collections.abc import Sequence

# Builders meet at a line on stdin, once a round; each notes every folder that it builds.
BUILD = """
import os, sys
from aiqc_core.storage import cache
from aiqc_core.orm import Splitset
write, log = cache.write, os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def noted(folder, splits, files):
    os.write(log, f"{folder.name}\\n".encode())
    write(folder, splits, files)
cache.write = noted
print("ready", flush=True)
while sys.stdin.readline():
    Splitset.get_by_id(int(sys.argv[1])).cache_samples()
    print("done", flush=True)
"""
# A whole store from nothing, in a process of its own.
FROM_NOTHING = """
import runpy, sys
runpy.run_path(sys.argv[1])["made"]().cache_samples()
"""


def made() -> Splitset:
    """Register a table with blanks and words, encode it, and cut it into Folds."""
    rng = np.random.default_rng(5)
    wave = rng.normal(size=60).cumsum()
    wave[rng.choice(60, 9, replace=False)] = np.nan
    frame = pd.DataFrame(
        {
            "wave": wave,
            "size": rng.gamma(2.0, size=60),
            "word": rng.choice(["red", "green", "blue"], 60),
            "kind": np.tile(["usual", "usual", "rare"], 20),
        }
    )
    dataset = Dataset.Tabular.from_df(frame)
    feature = Feature.from_dataset(dataset.id, exclude_columns=["kind"])
    FeatureInterpolater.from_feature(feature.id)
    FeatureCoder.from_feature(feature.id, sk.QuantileTransformer(n_quantiles=8, subsample=20),
                              columns=["size"])  # fmt: skip
    FeatureCoder.from_feature(feature.id, sk.OneHotEncoder(), dtypes=["str"])
    FeatureCoder.from_feature(feature.id, sk.PowerTransformer())
    label = Label.from_dataset(dataset.id, "kind")
    LabelCoder.from_label(label.id, sk.LabelBinarizer())
    return Splitset.make([feature.id], label.id, size_test=0.2, size_validation=0.2, fold_count=2,
                         seed=11)  # fmt: skip


def hashes() -> dict[str, str]:
    """Return the hash of every file under the cache, locks aside."""
    root = config.samples_path()
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


def start(script: str, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Start a process of this interpreter on the present store."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | variables,
    )


def say(builders: Sequence[subprocess.Popen[str]], word: str = "", *, answer: str) -> None:
    """Write a word to every process at the same moment, and read the answer of each."""
    for builder in builders:
        if word and builder.stdin:
            builder.stdin.write(f"{word}\n")
            builder.stdin.flush()
    answers = [builder.stdout.readline() for builder in builders if builder.stdout]
    assert answers == [f"{answer}\n"] * len(builders)


def left_over() -> list[str]:
    """Return what a builder did not clear away: drafts of folders, of keys, of anything."""
    hidden = [p.name for p in config.home().rglob(".*") if not p.name.endswith(".lock")]
    return hidden + [p.name for p in config.home().rglob("*tmp*")]


@pytest.mark.slow
def test_processes_that_build_at_once_build_once_and_the_same_bytes(
    home: Path, tmp_path: Path
) -> None:
    """A10 too: of a file cut short neither reads the half, nor what the other is writing."""
    splitset = made()
    splitset.cache_samples()
    alone, log = hashes(), tmp_path / "built"
    assert len(alone) == 2 * (2 + 4 * 2)
    builders = [start(BUILD, str(splitset.id), str(log)) for _ in range(2)]
    say(builders, answer="ready")
    splitset.clear_cache()
    say(builders, "go", answer="done")
    assert sorted(log.read_text().split()) == ["fold_0", "fold_1"]
    assert (hashes(), left_over()) == (alone, [])
    assert Splitset.get_by_id(splitset.id).cache_hot

    broken = config.samples_path() / next(n for n in alone if n.endswith("1/test/feature_0.npy"))
    broken.write_bytes(broken.read_bytes()[:-8])
    say(builders, "go", answer="done")
    assert sorted(log.read_text().split()) == ["fold_0", "fold_1", "fold_1"]
    assert (hashes(), left_over()) == (alone, [])
    for builder in builders:
        builder.communicate(timeout=60)
    assert [builder.returncode for builder in builders] == [0, 0]


@pytest.mark.slow
def test_neither_the_process_nor_its_hash_seed_changes_a_byte(home: Path, tmp_path: Path) -> None:
    made().cache_samples()
    here, processes = hashes(), {}
    for seed in ("0", "4242"):
        with config.use_home(tmp_path / f"hash_seed_{seed}") as other:
            other.mkdir()
            (other / "store.key").write_bytes((home / "store.key").read_bytes())
            processes[other] = start(FROM_NOTHING, __file__, PYTHONHASHSEED=seed)
    for other, process in processes.items():
        process.communicate(timeout=60)
        assert process.returncode == 0
        with config.use_home(other):
            assert hashes() == here


def test_a_frame_is_known_by_its_content_and_not_by_how_it_is_in_memory(home: Path) -> None:
    """Equal rows, built in blocks of columns or of rows: one recipe, equal bytes."""
    rows = np.random.default_rng(1).normal(size=(24, 2))
    found = []
    for order in ("C", "F"):
        frame = pd.DataFrame(np.array(rows, order=order), columns=["a", "b"])
        feature = Feature.from_dataset(Dataset.Tabular.from_df(frame).id)
        FeatureCoder.from_feature(feature.id, sk.StandardScaler())
        Splitset.make([feature.id], size_test=0.25, seed=2).cache_samples()
        found.append(hashes())
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "encoder",
    [
        sk.QuantileTransformer(n_quantiles=50, subsample=100),
        sk.KBinsDiscretizer(5, subsample=100, quantile_method="averaged_inverted_cdf"),
        sk.KBinsDiscretizer(5, strategy="kmeans", subsample=100),
    ],
    ids=str,
)
def test_an_encoder_that_learns_from_a_draw_of_the_rows_draws_the_same(
    home: Path, encoder: Any
) -> None:
    """Beyond `subsample` rows these draw; by default from numpy's global generator."""
    rows = np.random.default_rng(0).normal(size=400)
    feature = Feature.from_dataset(Dataset.Tabular.from_df(pd.DataFrame({"a": rows})).id)
    FeatureCoder.from_feature(feature.id, encoder)
    label = Label.from_dataset(
        Dataset.Tabular.from_df(pd.DataFrame({"y": np.arange(400) % 2})).id, "y"
    )
    splitset = Splitset.make([feature.id], label.id, seed=1)
    assert encoder.random_state is None, "the user's own object is not changed"
    found = []
    for seed in (1, 2):
        splitset.clear_cache()
        np.random.seed(seed)  # noqa: NPY002 - what scikit-learn would draw from
        splitset.cache_samples()
        found.append(hashes())
    assert found[0] == found[1]


@pytest.mark.filterwarnings("ignore:Splitset.make. the windows of train share")
def test_samples_built_in_another_order_are_the_same_bytes(home: Path) -> None:
    """Fold by fold, last first, as workers take Jobs; and both at once."""
    frame = pd.DataFrame({"a": np.sin(np.arange(60.0))})
    feature = Feature.from_dataset(Dataset.Tabular.from_df(frame).id)
    FeatureCoder.from_feature(feature.id, sk.StandardScaler())
    Window.from_feature(feature.id, 4, 2)
    splitset = Splitset.make([feature.id], size_test=0.25, fold_count=3, seed=2)

    def built(folds: Sequence[Any]) -> dict[str, str]:
        splitset.clear_cache()
        for fold in folds:
            splitset.fetch_cache("test", "label", fold_id=fold.id)
        return hashes()

    assert built(splitset.ordered_folds[::-1]) == built(splitset.ordered_folds)
    assert all(cache.is_whole(Path(splitset.cache_path) / f"fold_{i}", verify=True)
               for i in range(3))  # fmt: skip
