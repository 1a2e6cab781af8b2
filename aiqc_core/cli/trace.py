"""Show all that one predicted sample follows from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiqc_core.cli import output
from aiqc_core.orm import Prediction, Predictor
from aiqc_core.orm.results import frames

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiqc_core.orm.lineage.facts import Model, Source
    from aiqc_core.orm.lineage.trace import Rows, Trace


def show(
    prediction: int, row: int, split: str | None, *, check_source: bool, as_json: bool
) -> None:
    """Print the ancestors of a sample."""
    found = Prediction.get_by_id(prediction).trace(row, split, check_source)
    if as_json:
        output.as_json(found)
    else:
        output.lines(*_lines(found))


def _lines(trace: Trace) -> Iterator[tuple[str, object] | str]:
    yield (
        f"Prediction {trace.prediction}, {trace.split} {trace.index} of {trace.count}: "
        f"sample {trace.sample}"
    )
    yield "predicted", trace.predicted
    yield "truth", "not known" if trace.truth is None else trace.truth
    if trace.probabilities is not None:
        yield "probabilities", trace.probabilities
    if trace.positive is not None:
        yield "positive", f"precision, recall and f1 are of {output.one_line(trace.positive)}"
    for rows in trace.rows:
        yield rows.used_as, _rows(rows)
    if trace.trained_on:
        yield "note", "this sample trained the model"
    yield from _model(trace.model)
    training = trace.training
    under = "" if training.rows == training.count else f" over {training.rows} rows"
    yield "trained on", f"{training.split}: {training.count} samples{under}"
    yield "positions", training.positions
    for source in trace.sources:
        yield from _source(source)
    yield "Preprocessing"
    for name in ("interpolaters", "coders", "learned"):
        for part, steps in getattr(trace, name).items():
            yield from ((part, _step(name, step)) for step in steps)
    for name in ("windows", "shapes"):
        yield from getattr(trace, name).items()
    yield "Code (its text: --json)"
    for code in trace.code:
        yield code.role, f"sha256 {code.sha256[: output.SHORT]}, {_signature(code.text)}"


def _rows(rows: Rows) -> str:
    where = f"row {rows.first}" if rows.first == rows.last else f"rows {rows.first}-{rows.last}"
    target = rows.target_first
    forecast = "" if target is None else f", forecast {target}-{rows.target_last}"
    return f"Dataset {rows.dataset}, {where}{forecast}"


def _model(model: Model) -> Iterator[tuple[str, object] | str]:
    named = "" if model.experiment is None else f", {model.experiment} {model.snapshot}"
    yield f"Predictor {model.predictor}: Job {model.job}, {model.key}; Queue {model.queue}{named}"
    if model.adopted_from is not None:
        is_there = Predictor.select().where(Predictor.id == model.adopted_from).exists()
        since = "" if is_there else " and was deleted since"
        yield "adopted from", f"Predictor {model.adopted_from}, which trained it{since}"
    yield "fold", "none" if model.fold is None else model.fold
    yield "seed", f"{model.seed} (repeat {model.repeat_index})"
    yield "hyperparameters", model.hyperparameters or "none"
    yield "trained", f"{model.trained_at}, {model.library}, {model.analysis_type}"
    if model.stopped or model.is_diverged:
        how = frames.ended(model.stopped, diverged=model.is_diverged)
        yield "ended", f"{how}, after {model.epochs} epochs"
    yield "versions", model.versions
    yield "device", model.device or "not recorded"


def _source(source: Source) -> Iterator[tuple[str, object] | str]:
    named = "" if source.name is None else f" {source.name!r} version {source.version}"
    yield f"Dataset {source.dataset}{named}: {', '.join(source.used_as)}"
    yield "content", f"sha256 {source.sha256}, {output.one_line(source.shape)}"
    held = "in the store" if source.ingested else "outside of the store"
    place = source.place or (f"{source.urls} urls" if source.urls else "memory")
    yield "from", f"{place}, {held}"
    matches = {True: "yes", False: "NO", None: "not known"}[source.matches]
    yield "still matches", matches + ("" if source.note is None else f": {source.note}")


def _step(name: str, step: dict[str, object]) -> str:
    if name == "interpolaters":
        apart = "each split by itself" if step["process_separately"] else "all rows at once"
        return (
            f"fills {output.one_line(step['columns'])}, {apart}, {output.one_line(step['kwargs'])}"
        )
    columns = output.one_line(step["columns"])
    if name == "coders":
        return f"{step['encoder']} of {columns}, fitted on {step['fitted_on']}"
    return f"{step['encoder']} learned {output.one_line(step['learned'])}"


def _signature(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if "def " in line), text.strip())
