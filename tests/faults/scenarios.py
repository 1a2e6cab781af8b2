"""What is done when the kill comes, and what has to hold after it was done once more."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from places import ROOT, STORES
from small_experiment import declare, fn_build

from aiqc_core import config
from aiqc_core.experiment import Training, workflow
from aiqc_core.orm import Attempt, Dataset, Prediction, Predictor
from aiqc_core.orm.admin.gc import collect
from aiqc_core.orm.tables.schema import SCHEMA_VERSION, StoreInfo, tables
from aiqc_core.storage import cache

if TYPE_CHECKING:
    from collections.abc import Callable

LOCATION = Path(__file__).with_name("location.py")
TRAININGS_VARIABLE = "AIQC_TEST_TRAININGS"
TOTAL = 4  # two folds of two combinations


def counted(
    model: Any, loser: Any, optimizer: Any, train_features: Any, train_label: Any,
    eval_features: Any, eval_label: Any, **hp: Any,
) -> Any:  # fmt: skip
    """Train for a few epochs, and leave a line in a file."""
    import os

    from aiqc_core.utils.pytorch import fit

    with open(os.environ["AIQC_TEST_TRAININGS"], "a") as lines:  # noqa: PTH123 - stored by value
        lines.write("trained\n")
    return fit(
        model, loser, optimizer, train_features, train_label, eval_features, eval_label,
        epochs=hp["epochs"], batch_size=16,
    )  # fmt: skip


EXPERIMENT = declare(
    training=Training(
        library="pytorch",
        analysis_type="classification_binary",
        fn_build=fn_build,
        fn_train=counted,
        hyperparameters={"epochs": [2, 4]},
        permute_count=2,
    )
)


@dataclass(frozen=True)
class Scenario:
    """One kind of work that is killed.

    Attributes:
        act: the work; done again, it finishes what is missing and nothing else.
        found: what the store holds afterwards, equal for every history.
        prepare: what has to be there before.
        share: of all kills, how many are of this kind.
        program_seconds: where the work runs in a process of its own, which is killed with all that
            it started: how long that takes, roughly. It leaves what `walk_and_crown` leaves.
    """

    act: Callable[[], Any]
    found: Callable[[], dict[str, Any]]
    prepare: Callable[[], Any] = lambda: None
    share: float = 0.0
    program_seconds: float = 0.0


def trainings() -> int:
    """Return how often a model was trained for this store."""
    path = Path(os.environ[TRAININGS_VARIABLE])
    return len(path.read_text().splitlines()) if path.exists() else 0


def recorded() -> int:
    """Return how many Predictors a store holds, whatever was killed while it was made."""
    if not config.database_path().exists():
        return 0
    with closing(sqlite3.connect(config.database_path())) as store:
        try:
            return store.execute("SELECT count(*) FROM predictor").fetchone()[0]
        except sqlite3.OperationalError:  # its tables were never made
            return 0


def walked() -> dict[str, Any]:
    """Return what a store holds after the whole chain."""
    numbers = {
        f"{p.predictor.job.key} {p.predictor.repeat_index}": json.dumps(p.metrics, sort_keys=True)
        for p in Prediction.select()
    }
    folders = [path.parent for path in config.samples_path().rglob(cache.MANIFEST)]
    return {
        **sound(),
        "predictors": Predictor.select().count(),
        "numbers": numbers,
        "rows": {t._meta.table_name: t.select().count() for t in tables() if t is not Attempt},
        "whole samples": [cache.is_whole(folder, verify=True) for folder in folders],
        "unfinished": Attempt.select().where(Attempt.status == "running").count(),
        "succeeded": Attempt.select().where(Attempt.status == "succeeded").count(),
    }


def sound() -> dict[str, Any]:
    """Return what holds for a store in any state."""
    freed = collect(dry_run=False, grace_seconds=0.0)
    drafts = [path.name for path in config.home().rglob(".*.????????????????????????????????")]
    with closing(sqlite3.connect(config.database_path())) as store:
        return {
            "integrity": store.execute("PRAGMA integrity_check").fetchall(),
            "foreign keys": store.execute("PRAGMA foreign_key_check").fetchall(),
            "bytes of no row": freed.blobs,
            "drafts left after gc": drafts,
        }


def walk() -> None:
    """Walk the chain in this process."""
    workflow.run(EXPERIMENT, snapshot="s1")


def walk_and_crown() -> None:
    """Do in this process all that Dagster's job does."""
    walk()
    workflow.crown(EXPERIMENT, "s1")


def walk_with_workers() -> None:
    """Walk the chain with warm worker processes."""
    workflow.run(EXPERIMENT, snapshot="s1", workers=2)


def walk_through_dagster() -> None:
    """Walk the chain by Dagster's command, in the folder of this store."""
    home = config.home() / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / ".dagster_home" / "dagster.yaml", home)
    run = config.home() / "run.yaml"
    run.write_text("ops: {updown_open_snapshot: {config: {snapshot: s1}}}\n")
    dagster = Path(sys.executable).with_name("dagster")
    with (config.home() / "log").open("a") as log:
        subprocess.run(
            [dagster, "job", "execute", "-f", LOCATION, "-j", "retrain_updown", "-c", run],
            env={**os.environ, "DAGSTER_HOME": str(home)},
            stdout=log, stderr=log, check=True,
        )  # fmt: skip


def old_store() -> None:
    """Put a store of the first version there."""
    config.home().mkdir(parents=True)
    shutil.copy(STORES / "v1.key", config.key_path())
    with closing(sqlite3.connect(config.database_path())) as store:
        store.executescript((STORES / "v1.sql").read_text())


def migrate() -> None:
    """Open the store, which brings it to the present version."""
    Dataset.select().count()


def migrated() -> dict[str, Any]:
    """Return the version and the rows of a store that came from the first."""
    return {
        **sound(),
        "version": StoreInfo.get_by_id("schema_version").value == str(SCHEMA_VERSION),
        "rows": {t._meta.table_name: t.select().count() for t in tables()},
    }


def with_waste() -> None:
    """Make a store that holds bytes of no row, and samples of no Splitset."""
    walk()
    unused = Dataset.Tabular.from_df(declare().source(samples=5000), name="unused")
    unused.delete_instance(cascade=True)
    (kept,) = {path.parent.parent for path in config.samples_path().rglob("*/" + cache.MANIFEST)}
    shutil.copytree(kept, kept.with_name("9999"))


SCENARIOS = {
    "chain": Scenario(walk, walked, share=0.68),
    "workers": Scenario(walk_with_workers, walked, share=0.02),
    "migration": Scenario(migrate, migrated, old_store, share=0.15),
    "gc": Scenario(lambda: collect(dry_run=False, grace_seconds=0.0), walked, with_waste, 0.1),
    "dagster": Scenario(walk_through_dagster, walked, share=0.05, program_seconds=14.0),
}
