"""Every model of a Queue: loss against score, a point for each split."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

from aiqc_core import counts
from aiqc_core.errors import SelectionError
from aiqc_core.stages.evaluate.ranking import hint, lower_is_better
from aiqc_core.stages.plots import theme

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HEIGHT = 560
LINKED_MODELS = 20
NAMED_MODELS = 5
LOG_RATIO = 100.0


def data(
    models: theme.Rows,
    score_type: str,
    *,
    max_loss: float | None = None,
    min_score: float | None = None,
) -> dict[str, Any]:
    """Choose the models to show: those with all splits within the limits; NaN is within none.

    Without limits only points that are NaN are left out. Where the score of every model is NaN,
    as r2 of a constant target, the points are the losses, and `undefined` says why.

    Each model has `predictor_id`, `about` (for people), `metrics`, `{split: {metric: value}}` with
    `loss` and the metric `score_type`, and maybe `reasons`, `{split: {metric: why undefined}}`. No
    split may have a loss above `max_loss`, or a score worse than `min_score`: higher if an error.

    Returns:
        `points`, `predictor_id, about, split, loss, score` of each split of each model; `notes`,
        what was left out and why; `undefined`, why no model has a score, or None.

    Raises:
        SelectionError: an unknown metric, or no model keeps to the limits.
    """
    _refuse(models, score_type, {"max_loss": max_loss, "min_score": min_score})
    falls = lower_is_better(score_type)
    kept: list[dict[str, Any]] = []
    without_score: list[dict[str, Any]] = []
    beyond, undefined, not_drawn = 0, [], []
    for model in models:
        named = {"predictor_id": model["predictor_id"], "about": model["about"]}
        points = [
            named | {"split": split, "loss": values["loss"], "score": values[score_type]}
            for split, values in model["metrics"].items()
        ]
        finite = [p for p in points if math.isfinite(p["loss"]) and math.isfinite(p["score"])]
        limited = _limits(points, max_loss, min_score, falls=falls)
        if any(math.isnan(value) for value, _ in limited):
            undefined.append(model["predictor_id"])
        elif not all(holds for _, holds in limited):
            beyond += 1
        else:
            kept += finite
            without_score += points
            if len(finite) < len(points):
                not_drawn.append(model["predictor_id"])
    if not without_score:
        raise SelectionError(_none_left(models, score_type, max_loss, min_score))
    reason = None if kept else _why_undefined(models, score_type)
    shown = kept or [p for p in without_score if math.isfinite(p["loss"])]
    notes = [f"{beyond} beyond the limits"] if beyond else []
    if undefined:
        notes.append(f"left out for NaN: {_named(undefined)}")
    if kept and not_drawn:
        notes.append(f"splits without a finite loss and score: {_named(not_drawn)}")
    found = {"score_type": score_type, "points": shown, "undefined": reason}
    return found | {"notes": notes if reason is None else [reason, *notes]}


def figure(
    found: theme.Row,
    about: str = "",
    *,
    height: int | None = None,
    units: Mapping[str, str] | None = None,
) -> theme.Figure:
    """Draw loss against score; where no model has a score, the losses, a line a model.

    It is 560 pixels high by default; `units`, `{metric: unit}`, stand in the titles of the axes.
    """
    points, score_type, known = found["points"], found["score_type"], units or {}
    drawn = theme.blank(
        "Performance of each model",
        " · ".join([about, *found["notes"]] if about else found["notes"]),
        x=theme.titled("loss", known.get("loss")),
        y=theme.titled(score_type, known.get(score_type))
        + ("" if found["undefined"] is None else ": undefined"),
        height=HEIGHT if height is None else height,
    )
    if not points:
        drawn.add_annotation(text="no model has a finite loss", showarrow=False)
        return drawn
    losses = [p["loss"] for p in points]
    if min(losses) > 0 and max(losses) > LOG_RATIO * min(losses):
        drawn.update_xaxes(type="log")

    def height_of(point: theme.Row) -> Any:
        """Place a point on the y axis: by its score, else by its model."""
        by_model = found["undefined"] is not None
        return f"Predictor {point['predictor_id']}" if by_model else point["score"]

    scores = {p["score"] for p in points}
    if len(scores) == 1 and found["undefined"] is None:
        (only,) = scores  # plotly would show a whole unit above and below
        drawn.update_yaxes(range=[only - 0.1, only + 0.1])
    if len({p["predictor_id"] for p in points}) <= LINKED_MODELS:
        _link(drawn, points, height_of)
    for split in dict.fromkeys(p["split"] for p in points):
        of_it = [p for p in points if p["split"] == split]
        x, y = [p["loss"] for p in of_it], [height_of(p) for p in of_it]
        drawn.add_scatter(
            x=x, y=y, mode="markers", name=theme.escaped(split),
            marker=theme.marker(split) | {"opacity": 0.85, "size": 9},
            text=[_hover(p, score_type) for p in of_it], hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
    return drawn


def _refuse(models: theme.Rows, score_type: str, limits: Mapping[str, float | None]) -> None:
    """Refuse no models, an unknown metric, and limits that are no numbers."""
    if not models:
        raise SelectionError("models: none are given; train some first.")
    known = {name for model in models for values in model["metrics"].values() for name in values}
    if score_type not in known:
        scores = sorted(known - {"loss"})
        message = f"score_type: {score_type!r}; choose among {scores}.{hint(score_type, scores)}"
        raise SelectionError(message)
    for name, limit in limits.items():
        if limit is not None:
            counts.real(name, limit, lambda _: True, "a number, or None for no limit")


def _why_undefined(models: theme.Rows, score_type: str) -> str:
    reasons = dict.fromkeys(
        by_metric[score_type]
        for model in models
        for by_metric in model.get("reasons", {}).values()
        if score_type in by_metric
    )
    why = f": {'; '.join(reasons)}" if reasons else ""
    return f"{score_type} is undefined for every model{why}"


def _limits(
    points: theme.Rows, max_loss: float | None, min_score: float | None, *, falls: bool
) -> list[tuple[float, bool]]:
    """Return each value that has a limit, and whether it keeps to it; an error `falls`."""
    losses = [] if max_loss is None else [(p["loss"], p["loss"] <= max_loss) for p in points]
    if min_score is None:
        return losses
    keeps = operator.le if falls else operator.ge
    return losses + [(p["score"], keeps(p["score"], min_score)) for p in points]


def _named(ids: list[int]) -> str:
    more = f" and {len(ids) - NAMED_MODELS} more" if len(ids) > NAMED_MODELS else ""
    return f"Predictor {', '.join(map(str, ids[:NAMED_MODELS]))}{more}"


def _none_left(
    models: theme.Rows, score_type: str, max_loss: float | None, min_score: float | None
) -> str:
    def best(metric: str, *, falls: bool) -> float:
        of_each = [[values[metric] for values in m["metrics"].values()] for m in models]
        finite = [of for of in of_each if all(map(math.isfinite, of))]
        return min(map(max, finite), default=nan) if falls else max(map(min, finite), default=nan)

    nan, falls = math.nan, lower_is_better(score_type)
    loss, score = best("loss", falls=True), best(score_type, falls=falls)
    return (
        f"max_loss={max_loss}, min_score={min_score}: none of {len(models)} models is left. In "
        f"all its splits one has a loss of at most {theme.number(loss)}, another a {score_type} "
        f"of at {'most' if falls else 'least'} {theme.number(score)}; NaN keeps to no limit. "
        "Widen the limits, or leave them out."
    )


def _link(drawn: theme.Figure, points: theme.Rows, height_of: Callable[[theme.Row], Any]) -> None:
    """Join the splits of each model by a thin line."""
    x: list[float | None] = []
    y: list[Any] = []
    for idx in dict.fromkeys(p["predictor_id"] for p in points):
        of_it = [p for p in points if p["predictor_id"] == idx]
        x += [*(p["loss"] for p in of_it), None]
        y += [*(height_of(p) for p in of_it), None]
    line = {"color": theme.GREY, "width": 0.6}
    drawn.add_scatter(x=x, y=y, mode="lines", line=line, showlegend=False, hoverinfo="skip")


def _hover(point: theme.Row, score_type: str) -> str:
    return (
        f"<b>Predictor {point['predictor_id']}</b><br>{theme.escaped(point['about'])}"
        f"<br>split: {theme.escaped(point['split'])}<br>loss: {theme.number(point['loss'])}"
        f"<br>{score_type}: {theme.number(point['score'])}"
    )
