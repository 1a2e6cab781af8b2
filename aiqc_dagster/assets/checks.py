"""The asset checks of an experiment, defined once for assets and for jobs.

A check belongs to a stage and judges one cell of its asset. It runs when the asset is
materialised, or alone from the tab "Checks"; a job's step reports it on the cell it has made.
"""

# Dagster compares the annotation of `context` itself, so annotations are not postponed here.
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dagster as dg

from aiqc_core.errors import AIQCError, MetastoreError, NotFoundError
from aiqc_core.experiment import Experiment, workflow
from aiqc_core.experiment.workflow import FAILED, PASSED, WARNING, Finding
from aiqc_core.orm import Dataset, Fold, Splitset
from aiqc_core.orm.results import audit
from aiqc_dagster.assets import partitions
from aiqc_dagster.assets.partitions import CellKey
from aiqc_dagster.assets.stages import STAGES, Stage, asset_key
from aiqc_dagster.build import stores
from aiqc_dagster.executors._dagster_internals import (
    AssetCheckEvaluationTargetMaterializationData as Target,
)
from aiqc_dagster.resources import REQUIRED
from aiqc_dagster.ui import metadata


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a stage's cells.

    Attributes:
        stage: the stage whose asset it judges.
        name: what the tab "Checks" calls it.
        description: what it says when it is green.
        examine: `(experiment, snapshot=…, fold=…) -> Finding`, with the dimensions it has.
        blocking: whether red stops what comes after it.
    """

    stage: str
    name: str
    description: str
    examine: Callable[..., Finding]
    blocking: bool = False


def build(experiment: Experiment) -> list[dg.AssetChecksDefinition]:
    """Return every check of an experiment."""
    cells = {dim: partitions.cells(experiment, dim) for dim in (None, partitions.FOLD)}
    dimensions = [STAGES[check.stage].dimension for check in CHECKS]
    return [
        definition(experiment, check, cells[dim], dim)
        for check, dim in zip(CHECKS, dimensions, strict=True)
    ]


def report(
    context: dg.OpExecutionContext, experiment: Experiment, stage: Stage, cell: CellKey
) -> None:
    """Log what the checks say of a cell that a job's step has just logged."""
    partition = partitions.cell(**cell)
    log: Callable[[dg.AssetCheckEvaluation], None] = context.log_event  # pyright: ignore[reportAssignmentType]
    for check in CHECKS:
        if check.stage == stage.name:
            found = finding_of(check, experiment, cell)
            log(
                dg.AssetCheckEvaluation(
                    asset_key=stage.key(experiment),
                    check_name=check.name,
                    partition=partition,
                    target_materialization_data=_target(context, stage.key(experiment), partition),
                    **shown(found, cell),
                )
            )
            if check.blocking and found.verdict == FAILED:
                message = f"{stage.name}/{check.name} stops the run: {found.summary}"
                raise dg.Failure(message, allow_retries=False)


def definition(
    experiment: Experiment, check: Check, cells: dg.PartitionsDefinition, dimension: str | None
) -> dg.AssetChecksDefinition:
    """Return a check of these cells as Dagster has it; `dimension` as in `split_cell`."""

    @dg.asset_check(
        asset=asset_key(experiment, check.stage),
        name=check.name,
        description=check.description,
        blocking=check.blocking,
        partitions_def=cells,
        required_resource_keys=REQUIRED,
    )
    def examine(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        stores.claim(context.instance, experiment)
        cell = partitions.split_cell(context.partition_key, dimension)
        return dg.AssetCheckResult(**shown(finding_of(check, experiment, cell), cell))

    return examine


def finding_of(check: Check, experiment: Experiment, cell: CellKey) -> Finding:
    """Return what a check finds; only a store that cannot be read raises.

    Where nothing was materialised, or the check cannot judge the data, the verdict is amber, and
    red for a blocking check.
    """
    try:
        return check.examine(experiment, **cell)
    except Exception as error:
        if isinstance(error, MetastoreError) and not isinstance(error, NotFoundError):
            raise  # the store is at fault, not the data
        cause = str(error) if isinstance(error, AIQCError) else f"{type(error).__name__}: {error}"
        verdict = FAILED if check.blocking else WARNING
        return Finding(verdict, f"{check.name} cannot judge this: {cause}")


def shown(found: Finding, cell: CellKey) -> dict[str, Any]:
    """Return a finding as Dagster shows it: a warning is amber, a failure red."""
    facts = {
        name: metadata.table(value) if isinstance(value, list) else value
        for name, value in found.facts.items()
    }
    severity = dg.AssetCheckSeverity
    return {
        "passed": found.verdict == PASSED,
        "severity": severity.WARN if found.verdict == WARNING else severity.ERROR,
        "description": found.summary,
        "metadata": {**cell, **facts},
    }


def _target(context: dg.OpExecutionContext, key: dg.AssetKey, cell: str) -> Target | None:
    """Point to the cell's newest materialisation; without it a check counts as outdated."""
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[cell])
    newest = context.instance.fetch_materializations(wanted, limit=1).records
    if not newest:
        return None
    event = newest[0]
    return Target(storage_id=event.storage_id, run_id=event.run_id, timestamp=event.timestamp)


def _source_unchanged(experiment: Experiment, snapshot: str) -> Finding:
    rows = [
        workflow.row_of(experiment, snapshot, Dataset, "dataset"),
        workflow.label_dataset(experiment, snapshot),
    ]
    return audit.source_unchanged(list({row.id: row for row in rows}.values()))


def _splitset(experiment: Experiment, snapshot: str) -> Splitset:
    return workflow.row_of(experiment, snapshot, Splitset, "splitset")


def _part(experiment: Experiment, snapshot: str, fold: str) -> tuple[Splitset, Fold | None]:
    row = _splitset(experiment, snapshot)
    return row, dict(zip(experiment.fold_keys(), row.parts(), strict=True))[fold]


CHECKS = (
    Check(
        "dataset", "source_unchanged",
        "What is registered has the hash that it had at registration: of the stored bytes, or of "
        "a source outside of the store.",
        _source_unchanged, blocking=True,
    ),
    Check(
        "feature", "no_drift",
        "The columns are distributed as the rows that the champion learned from: the population "
        "stability index of each is below 0.1 (amber) or 0.25 (red).",
        workflow.drift,
    ),
    Check(
        "splitset", "no_leak",
        "No sample is in two splits, the windows of train share no row with another split, no "
        "column gives the label away, and no split repeats the samples of train.",
        lambda experiment, snapshot: audit.rows_apart(_splitset(experiment, snapshot)),
        blocking=True,
    ),
    Check(
        "splitset", "every_class", "Each split of each fold has samples of each class.",
        lambda experiment, snapshot: audit.every_class(_splitset(experiment, snapshot)),
    ),
    Check(
        "samples", "no_leak",
        "Fits and training samples, made again from the training rows alone, equal what is "
        "stored; the windows of train share no row with another split.",
        lambda experiment, **cell: audit.no_leak(*_part(experiment, **cell)), blocking=True,
    ),
    Check(
        "samples", "no_nan", "Each cached value is a finite number.",
        lambda experiment, **cell: audit.no_nan(*_part(experiment, **cell)), blocking=True,
    ),
    Check(
        "leaderboard", "all_jobs_present", "Every training of the snapshot is recorded.",
        workflow.jobs_present,
    ),
    Check(
        "leaderboard", "challenger_not_worse",
        "On the champion's own samples, the snapshot's best model is not surely worse than the "
        "champion: the paired interval of its gain is not below 0.",
        lambda experiment, snapshot: workflow.challenge(experiment, snapshot).finding,
    ),
    Check(
        "champion", "not_diverged",
        "No loss and no prediction of the model in use is NaN or infinite.",
        lambda experiment, **_: workflow.champion_sound(experiment),
    ),
    Check(
        "champion", "fresh",
        "The newest trained data are as new as the declaration asks for, or the source still "
        "holds the same.",
        lambda experiment, **_: workflow.fresh(experiment),
    ),
)  # fmt: skip
