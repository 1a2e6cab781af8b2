"""Put a model in use because a person decides so."""

from __future__ import annotations

import typer

from aiqc_core.cli import output
from aiqc_core.experiment import workflow


def show(
    experiment: str, snapshot: str | None, predictor: int | None, reason: str, *, as_json: bool
) -> None:
    """Promote it, and print what is in use from now on."""
    row = workflow.promote(experiment, snapshot, predictor, reason)
    if as_json:
        output.as_json(
            {
                "champion_id": row.id, "experiment": experiment, "snapshot": row.snapshot,
                "predictor_id": row.predictor_id, "reason": row.reason,
            }
        )  # fmt: skip
        return
    typer.echo(
        f"{experiment}: Predictor {row.predictor_id} of snapshot {row.snapshot} is the champion "
        f"now. Materialise {experiment}/champion for this snapshot to show it in Dagster."
    )
