"""The stages of an experiment, defined once for assets and for the steps of jobs.

A stage turns one cell of an asset into rows and metadata. `assets.py` wraps it as an asset,
`jobs/retrain.py` as a step of the job that runs the whole chain; both emit the same events.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import dagster as dg

from aiqc_core.experiment import workflow
from aiqc_core.orm import Hyperparamcombo
from aiqc_core.orm.results import leaderboard
from aiqc_core.orm.store import digest_of
from aiqc_dagster.assets import partitions
from aiqc_dagster.ui import metadata

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiqc_core.experiment import Experiment
    from aiqc_dagster.assets.partitions import CellKey


@dataclass(frozen=True, slots=True)
class Cell:
    """What materialising one cell gave.

    Attributes:
        metadata: what the UI shows.
        data_version: a digest of the content: what did not change is not stale.
    """

    metadata: dict[str, Any]
    data_version: str

    def as_result(self) -> dg.MaterializeResult[Any]:
        """Return it as an asset's result."""
        return dg.MaterializeResult(
            metadata=self.metadata, data_version=dg.DataVersion(self.data_version)
        )

    def as_event(self, key: dg.AssetKey, partition: str) -> dg.AssetMaterialization:
        """Return it as an event that a job's step logs."""
        return dg.AssetMaterialization(
            asset_key=key,
            partition=partition,
            metadata=self.metadata,
            tags={"dagster/data_version": self.data_version},
        )


@dataclass(frozen=True, slots=True)
class Stage:
    """One asset of the chain.

    Attributes:
        name: the last part of its asset key.
        upstream: the stages it reads.
        dimension: beside the snapshot, the other dimension of its partitions; for `combo`, which
            no snapshot touches, the only one.
        kind: its icon in the UI.
        description: what a partition means.
        materialise: `(experiment, snapshot=…, fold=…) -> Cell`, with the dimensions it has.
    """

    name: str
    upstream: tuple[str, ...]
    dimension: str | None
    kind: str
    description: str
    materialise: Callable[..., Cell]

    def key(self, experiment: Experiment) -> dg.AssetKey:
        """Return the asset key of this stage in an experiment."""
        return asset_key(experiment, self.name)

    def cells(self, experiment: Experiment, snapshot: str) -> list[CellKey]:
        """Return its cells of a snapshot."""
        shared = {} if self.dimension == partitions.COMBO else {partitions.SNAPSHOT: snapshot}
        if self.dimension is None:
            return [shared]
        keys = partitions.keys(experiment, self.dimension)
        return [{**shared, self.dimension: key} for key in keys]


def asset_key(experiment: Experiment, name: str) -> dg.AssetKey:
    """Return `<experiment>/<name>`."""
    return dg.AssetKey([experiment.name, name])


def _dataset(experiment: Experiment, snapshot: str) -> Cell:
    row = workflow.dataset(experiment, snapshot)
    return Cell(metadata.of_dataset(row), row.sha256_hexdigest)


def _feature(experiment: Experiment, snapshot: str) -> Cell:
    row = workflow.feature(experiment, snapshot)
    return Cell(metadata.of_feature(row), f"feature_{row.id}")


def _label(experiment: Experiment, snapshot: str) -> Cell:
    row = workflow.label(experiment, snapshot)
    return Cell(metadata.of_label(row), f"label_{row.id}")


def _splitset(experiment: Experiment, snapshot: str) -> Cell:
    row = workflow.splitset(experiment, snapshot)
    return Cell(metadata.of_splitset(row), str(digest_of(row, "samples")))


def _samples(experiment: Experiment, snapshot: str, fold: str) -> Cell:
    splitset, folder = workflow.samples(experiment, snapshot, fold)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    shown = {"splitset_id": splitset.id, "path": dg.MetadataValue.path(str(folder)), "bytes": size}
    return Cell(shown, f"{folder.parent.name}_{folder.name}")


def _hyperparamcombo(experiment: Experiment, combo: str) -> Cell:
    hyperparamset = workflow.hyperparamset(experiment)
    if hyperparamset is None:
        return Cell({"hyperparameters": {}}, combo)
    if experiment.is_adaptive:
        shown = {"search": experiment.training.search, "space": hyperparamset.hyperparameters}
        return Cell(shown, f"{hyperparamset.id}_{combo}")
    row = hyperparamset.hyperparamcombos.where(Hyperparamcombo.key == combo).get()
    shown = {"hyperparamcombo_id": row.id, "hyperparameters": row.hyperparameters}
    return Cell(shown, combo)


def _leaderboard(experiment: Experiment, snapshot: str) -> Cell:
    queue = workflow.queue_of(experiment, snapshot)
    board = leaderboard.Board.of(queue, experiment.leading_metric)
    if not board.trained:
        message = f"{experiment.name}/leaderboard: no Job of Queue {queue.id} is trained yet."
        raise dg.Failure(message, allow_retries=False)
    newest = max(entry.predictor_id for entry in board.trained)
    return Cell(metadata.of_standings(experiment.name, board), f"{queue.id}_{newest}")


def _champion(experiment: Experiment, snapshot: str) -> Cell:
    row, result = workflow.crown(experiment, snapshot)
    return Cell(metadata.of_champion(row, result), f"champion_{row.predictor_id}")


STAGES = {
    stage.name: stage
    for stage in (
        Stage(
            "dataset", (), None, "table",
            "The source's content as of a snapshot, registered in the metastore; equal content is "
            "one version.", _dataset,
        ),
        Stage(
            "feature", ("dataset",), None, "numpy",
            "The columns that models learn from as of a snapshot, with their encoders.", _feature,
        ),
        Stage(
            "label", ("dataset",), None, "numpy",
            "The column that models learn to predict as of a snapshot, with its encoder.", _label,
        ),
        Stage(
            "splitset", ("feature", "label"), None, "scikitlearn",
            "Which samples of a snapshot train, validate and test, and the folds.", _splitset,
        ),
        Stage(
            "samples", ("splitset",), partitions.FOLD, "numpy",
            "The preprocessed samples of one fold of a snapshot: encoders fitted on its training "
            "rows, arrays cached on disk.", _samples,
        ),
        Stage(
            "hyperparamcombo", (), partitions.COMBO, "json",
            "One combination of hyperparameters, keyed by a hash of its content.",
            _hyperparamcombo,
        ),
        Stage(
            "leaderboard", ("predictor",), None, "table",
            "The comparison of all models of a snapshot, ranked by the split that judges them.",
            _leaderboard,
        ),
        Stage(
            "champion", ("leaderboard",), None, "trophy",
            "The model in use. Materialising lets the best model of a snapshot challenge it, on "
            "the champion's own samples; by the declaration's rule it takes the place or not.",
            _champion,
        ),
    )
}  # fmt: skip


def of(experiment: Experiment) -> dict[str, Stage]:
    """Return the stages of an experiment by name; without a label there is no stage for one."""
    without = set() if experiment.pipeline.label_columns else {"label"}
    return {
        name: replace(stage, upstream=tuple(up for up in stage.upstream if up not in without))
        for name, stage in STAGES.items()
        if name not in without
    }
