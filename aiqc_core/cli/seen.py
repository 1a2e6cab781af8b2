"""Show every model that trained on one row of a Dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiqc_core.cli import output
from aiqc_core.orm import Dataset

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiqc_core.orm.lineage.row_usage import Seen, Sighting

ROLES = {
    "train": "trained on it",
    "judge": "was judged on it",
    "never": "neither",
    "new data": "predicted it",
}


def show(dataset: int, row: int, *, as_json: bool) -> bool:
    """Print the models; return whether one of them trained on the row."""
    found: Sighting = Dataset.get_by_id(dataset).seen(row)
    if as_json:
        output.as_json(found, trained=[model.predictor for model in found.trained])
    else:
        output.lines(*_lines(found))
    return bool(found.trained)


def _lines(found: Sighting) -> Iterator[tuple[str, object] | str]:
    equal = f" (equal: Datasets {found.equal_datasets})" if found.equal_datasets else ""
    yield (
        f"Row {found.row} of Dataset {found.dataset}{equal}: {len(found.trained)} of "
        f"{len(found.models)} models trained on it"
    )
    for model in found.models:
        yield ROLES[model.role], _model(model)
    coders = dict.fromkeys(coder for model in found.models for coder in model.fitted_on_all)
    if coders:
        yield "note", f"fitted on all rows, whatever the split: {', '.join(coders)}"


def _model(model: Seen) -> str:
    named = "" if model.experiment is None else f", {model.experiment} {model.snapshot}"
    champion = ", champion" if model.champion else ""
    under = "; ".join(f"{split} {output.one_line(at)}" for split, at in model.splits.items())
    return (
        f"Predictor {model.predictor} ({model.job}, repeat {model.repeat_index}; Queue "
        f"{model.queue}{named}), {model.status}{champion}; {under or 'under no sample'}"
    )
