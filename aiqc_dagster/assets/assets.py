"""The assets of an experiment."""

# Dagster compares the annotation of `context` itself, so annotations are not postponed here.
from typing import Any

import dagster as dg

from aiqc_core.experiment import Experiment, workflow
from aiqc_dagster.assets import partitions, stages
from aiqc_dagster.assets.stages import Stage, asset_key
from aiqc_dagster.build import stores
from aiqc_dagster.jobs.job_sources import NotebookWork
from aiqc_dagster.jobs.training import TrainingOps
from aiqc_dagster.resources import REQUIRED

PREDICTOR_DESCRIPTION = (
    "The trained models: a cell is one Job, a combination of hyperparameters on a fold of a "
    "snapshot. Materialising trains what is missing and reports what is there."
)

NOTEBOOK_DESCRIPTION = (
    "The models of Queues that were made outside of a declared experiment, such as in a "
    "notebook: a cell is one Job, q12_f0_c3 that of Queue 12, Fold 0 and combination 3. The job "
    "run_queue adds the cells of a Queue; materialising some trains what is missing of them."
)

# A person who turns the automation sensor on wants the data prepared when a snapshot is added, but
# decides on trainings and promotions alone, or leaves them to the schedule.
FOLLOWS = {"feature", "label", "splitset", "samples"}


def build(experiment: Experiment, training: TrainingOps) -> list[dg.AssetsDefinition]:
    """Return every asset of an experiment; `training` is shared with its job."""
    stage_assets = [_stage_asset(experiment, s) for s in stages.of(experiment).values()]
    return [*stage_assets, _predictor(experiment, training)]


def _stage_asset(experiment: Experiment, stage: Stage) -> dg.AssetsDefinition:
    @dg.asset(
        key=stage.key(experiment),
        deps=[_dependency(experiment, stage, name) for name in stage.upstream],
        partitions_def=partitions.cells(experiment, stage.dimension),
        group_name=experiment.name,
        kinds={stage.kind},
        owners=[experiment.owner],
        description=stage.description,
        code_version=workflow.code_version(experiment, stage.name),
        automation_condition=dg.AutomationCondition.eager() if stage.name in FOLLOWS else None,
        required_resource_keys=REQUIRED,
    )
    def materialise(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        stores.claim(context.instance, experiment)
        if stage.dimension is None:
            partitions.checked_snapshot(context.partition_key)
        cell = partitions.split_cell(context.partition_key, stage.dimension)
        return stage.materialise(experiment, **cell).as_result()

    return materialise


def _predictor(experiment: Experiment, training: TrainingOps) -> dg.AssetsDefinition:
    @dg.graph_asset(
        key=asset_key(experiment, "predictor"),
        ins={
            "samples": dg.AssetIn(
                asset_key(experiment, "samples"),
                partition_mapping=partitions.same_snapshot(),
                dagster_type=dg.Nothing,
            ),
            "hyperparamcombo": dg.AssetIn(
                asset_key(experiment, "hyperparamcombo"),
                partition_mapping=dg.AllPartitionMapping(),
                dagster_type=dg.Nothing,
            ),
        },
        partitions_def=partitions.cells(experiment, partitions.JOB),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=experiment.name,
        kinds={experiment.training.library.replace("keras", "tensorflow")},
        owners=[experiment.owner],
        description=PREDICTOR_DESCRIPTION,
        code_version=workflow.code_version(experiment, "predictor"),
    )
    def predictor(samples: Any, hyperparamcombo: Any) -> Any:
        return training.invoke(upstream=[samples, hyperparamcombo])

    return predictor


def notebook(training: TrainingOps) -> dg.AssetsDefinition:
    """Return `notebook/predictor`: the models of Queues that a notebook made."""

    @dg.graph_asset(
        key=NotebookWork.asset,
        partitions_def=dg.DynamicPartitionsDefinition(name=partitions.NOTEBOOK),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="notebook",
        description=NOTEBOOK_DESCRIPTION,
    )
    def predictor() -> Any:
        return training.invoke()

    return predictor


def _dependency(experiment: Experiment, stage: Stage, upstream: str) -> dg.AssetDep:
    across = stage.dimension == partitions.FOLD or upstream == "predictor"
    mapping = dg.MultiToSingleDimensionPartitionMapping(partitions.SNAPSHOT) if across else None
    return dg.AssetDep(asset_key(experiment, upstream), partition_mapping=mapping)
