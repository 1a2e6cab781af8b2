"""Find or make the row of one stage of a declared experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiqc_core.orm import Declared, Snapshot
from aiqc_core.wording import reworded

if TYPE_CHECKING:
    from aiqc_core.experiment import Experiment


def find_or_make(
    experiment: Experiment, snapshot: str, table: type[Any], stage: str, inputs: Any, make: Any
) -> Any:
    """Return the row of a stage of a snapshot: found by its inputs' digest, or made."""
    with reworded():
        row = Declared.find_or_make(table, experiment.name, stage, inputs, make)
    Snapshot.put(experiment.name, snapshot, stage, row)
    return row


def row_of(experiment: Experiment, snapshot: str, table: type[Any], stage: str) -> Any:
    """Return the row of an earlier stage.

    Raises:
        NotFoundError: it was not materialised for this snapshot yet.
    """
    return Snapshot.of(experiment.name, snapshot).get_row(table, stage)
