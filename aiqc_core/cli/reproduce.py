"""Train a Predictor again and show whether the same comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiqc_core.cli import output
from aiqc_core.orm import Predictor

if TYPE_CHECKING:
    from aiqc_core.orm.lineage.reproduce import Reproduction


def show(predictor: int, *, tolerance: float, as_json: bool) -> bool:
    """Print the verdict and each stage; return whether the same came out."""
    found: Reproduction = Predictor.get_by_id(predictor).reproduce(tolerance)
    if as_json:
        output.as_json(found, equal=found.equal)
        return found.equal
    first = "" if found.first_difference is None else f", first in: {found.first_difference}"
    apart = (
        "" if found.largest is None else f" (largest difference of weights {found.largest:.3g})"
    )
    output.lines(
        f"Predictor {found.predictor}, trained again: {found.verdict}{first}{apart}",
        *((stage.name, f"{stage.verdict}: {stage.note}") for stage in found.stages),
        *(
            (name, f"version {now or 'not installed'}, was {then}")
            for name, (then, now) in found.moved_versions.items()
        ),
        *(("note", note) for note in found.notes),
    )
    return found.equal
