"""New data predicted by the model in use: the asset `prediction`, and the job that fills it."""

# Dagster compares the annotation of `context` itself, so annotations are not postponed here.
from typing import Any

import dagster as dg
from pydantic import Field

from aiqc_core.experiment import Experiment, workflow
from aiqc_dagster.assets import checks, partitions
from aiqc_dagster.assets.stages import Cell, asset_key
from aiqc_dagster.build import stores
from aiqc_dagster.resources import REQUIRED
from aiqc_dagster.ui import metadata

DESCRIPTION = (
    "What the champion predicts from new data: a cell is one batch, which predict_{0} adds. "
    "Materialising one again shows its Prediction; a path in the launchpad predicts it again."
)


class BatchConfig(dg.Config):
    """Which new data to predict, and with which model."""

    path: str = Field(
        default="",
        description="File or folder of the new data: csv, tsv, parquet, npy, or images. Columns "
        "are matched by name. A batch that was predicted before needs none.",
    )
    predictor_id: int | None = Field(
        default=None, description="Another model than the champion, by the id of its Predictor."
    )


class NewBatchConfig(BatchConfig):
    """Which batch it is."""

    batch: str = Field(default="", description="Key of the batch; the present time if empty.")


def asset(experiment: Experiment) -> dg.AssetsDefinition:
    """Return `<e>/prediction`."""
    champion = asset_key(experiment, "champion")

    @dg.asset(
        key=asset_key(experiment, "prediction"),
        deps=[dg.AssetDep(champion, partition_mapping=dg.LastPartitionMapping())],
        partitions_def=partitions.batches(experiment),
        group_name=experiment.name,
        kinds={"parquet"},
        owners=[experiment.owner],
        description=DESCRIPTION.format(experiment.name),
        required_resource_keys=REQUIRED,
    )
    def prediction(
        context: dg.AssetExecutionContext, config: BatchConfig
    ) -> dg.MaterializeResult[Any]:
        stores.claim(context.instance, experiment)
        return _cell(experiment, context.partition_key, config)[1].as_result()

    return prediction


def check(experiment: Experiment) -> dg.AssetChecksDefinition:
    """Return the check that compares a batch with the rows that the model learned from."""
    no_drift = checks.Check(
        "prediction",
        "no_drift",
        "The batch's columns are distributed as the rows that its model learned from.",
        workflow.batch_drift,
    )
    return checks.definition(
        experiment, no_drift, partitions.batches(experiment), partitions.BATCH
    )


def job(experiment: Experiment) -> dg.JobDefinition:
    """Return `predict_<e>`: add a batch and predict it, in one run."""
    key = asset_key(experiment, "prediction")

    @dg.op(name=f"{experiment.name}_predict", required_resource_keys=REQUIRED)
    def predict(context: dg.OpExecutionContext, config: NewBatchConfig) -> None:
        """Predict new data, and show it as a cell of the asset."""
        stores.claim(context.instance, experiment)
        if config.batch:
            partitions.checked_snapshot(config.batch)
        batch, cell = _cell(experiment, config.batch, config)
        name = partitions.batches(experiment).name
        partitions.add(context.instance, experiment, str(name), [batch])
        context.log_event(cell.as_event(key, batch))
        context.instance.add_run_tags(context.run_id, {"aiqc/batch": batch})

    @dg.graph(name=f"{experiment.name}_predict_batch")
    def predict_batch() -> None:
        predict()

    return predict_batch.to_job(
        name=f"predict_{experiment.name}",
        description=f"Predict new data with the champion of {experiment.name}.",
        tags={"aiqc/experiment": experiment.name},
    )


def _cell(experiment: Experiment, wanted: str, config: BatchConfig) -> tuple[str, Cell]:
    batch, row = workflow.predict(
        experiment, wanted, path=config.path, predictor_id=config.predictor_id
    )
    table = workflow.write_table(experiment, batch, row)
    return batch, Cell(metadata.of_prediction(row, table), f"prediction_{row.id}")
