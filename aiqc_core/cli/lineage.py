"""Show what models and predictions follow from: the commands trace, seen, diff, reproduce."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from aiqc_core.cli import output
from aiqc_core.orm import Dataset, Prediction, Predictor
from aiqc_core.orm.results import frames

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiqc_core.orm.lineage.diff import Diff, Difference
    from aiqc_core.orm.lineage.facts import Model, Source
    from aiqc_core.orm.lineage.reproduce import Reproduction
    from aiqc_core.orm.lineage.row_usage import Seen, Sighting
    from aiqc_core.orm.lineage.trace import Rows, Trace

    Lines = Iterator[tuple[str, object] | str]

ROLES = {
    "train": "trained on it",
    "judge": "was judged on it",
    "never": "neither",
    "new data": "predicted it",
}


def trace(
    prediction: int, row: int, split: str | None, *, check_source: bool, as_json: bool
) -> None:
    """Print the ancestors of a sample."""
    found = Prediction.get_by_id(prediction).trace(row, split, check_source)
    if as_json:
        output.as_json(found)
    else:
        output.lines(_lines_of_trace(found))


def _lines_of_trace(trace: Trace) -> Lines:
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


def _model(model: Model) -> Lines:
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


def _source(source: Source) -> Lines:
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


def seen(dataset: int, row: int, *, as_json: bool) -> bool:
    """Print the models; return whether one of them trained on the row."""
    found: Sighting = Dataset.get_by_id(dataset).seen(row)
    if as_json:
        output.as_json(found, trained=[model.predictor for model in found.trained])
        return bool(found.trained)
    equal = f" (equal: Datasets {found.equal_datasets})" if found.equal_datasets else ""
    trained = f"{len(found.trained)} of {len(found.models)} models trained on it"
    shown = [
        f"Row {found.row} of Dataset {found.dataset}{equal}: {trained}",
        *((ROLES[model.role], _seen(model)) for model in found.models),
    ]
    coders = dict.fromkeys(coder for model in found.models for coder in model.fitted_on_all)
    if coders:
        shown.append(("note", f"fitted on all rows, whatever the split: {', '.join(coders)}"))
    output.lines(shown)
    return bool(found.trained)


def _seen(model: Seen) -> str:
    named = "" if model.experiment is None else f", {model.experiment} {model.snapshot}"
    champion = ", champion" if model.champion else ""
    under = "; ".join(f"{split} {output.one_line(at)}" for split, at in model.splits.items())
    return (
        f"Predictor {model.predictor} ({model.job}, repeat {model.repeat_index}; Queue "
        f"{model.queue}{named}), {model.status}{champion}; {under or 'under no sample'}"
    )


def diff(left: int, right: int, *, as_json: bool) -> bool:
    """Print the differences, the first ancestor first; return whether there are none."""
    found: Diff = Predictor.get_by_id(left).diff(Predictor.get_by_id(right))
    if as_json:
        first = found.first and found.first.ancestor
        output.as_json(found, identical=found.identical, first=first)
    else:
        output.lines(_lines_of_diff(found))
    return found.identical


def _lines_of_diff(found: Diff) -> Lines:
    pair = f"Predictors {found.left} and {found.right}"
    if found.first is None:
        yield f"{pair} are identical: {', '.join(found.same)}"
        return
    for each in found.differences:
        begin = f"{pair} differ first in" if each is found.differences[0] else "and in"
        yield f"{begin}: {each.ancestor}" + ("" if each.note is None else f" ({each.note})")
        yield from _difference(found, each)
    yield "same", ", ".join(found.same)


def _difference(found: Diff, difference: Difference) -> Iterator[tuple[str, object]]:
    left, right = difference.left, difference.right
    one, other = str(left).splitlines(), str(right).splitlines()
    if difference.ancestor.startswith("code, fn_") and max(len(one), len(other)) > 1:
        for line in list(difflib.unified_diff(one, other, lineterm="", n=1))[2:]:
            yield "", line
        return
    yield str(found.left), left
    yield str(found.right), right


def reproduce(predictor: int, *, tolerance: float, as_json: bool) -> bool:
    """Print the verdict and each stage; return whether the same came out."""
    found: Reproduction = Predictor.get_by_id(predictor).reproduce(tolerance)
    if as_json:
        output.as_json(found, equal=found.equal)
        return found.equal
    first = "" if found.first_difference is None else f", first in: {found.first_difference}"
    apart = (
        "" if found.largest is None else f" (largest difference of weights {found.largest:.3g})"
    )
    versions = (
        (name, f"version {now or 'not installed'}, was {then}")
        for name, (then, now) in found.moved_versions.items()
    )
    output.lines(
        [
            f"Predictor {found.predictor}, trained again: {found.verdict}{first}{apart}",
            *((stage.name, f"{stage.verdict}: {stage.note}") for stage in found.stages),
            *versions,
            *(("note", note) for note in found.notes),
        ]
    )
    return found.equal
