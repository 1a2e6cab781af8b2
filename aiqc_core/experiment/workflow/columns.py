"""Check that the columns which a pipeline names exist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiqc_core.errors import SelectionError
from aiqc_core.wording import did_you_mean, dotted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiqc_core.experiment import Pipeline
    from aiqc_core.wording import Place


def refuse_unknown(
    pipeline: Pipeline, of_features: list[str] | None, of_label: list[str] | None
) -> None:
    """Raise SelectionError with a line for each column that is not there; None for no names."""
    found = list(unknown(pipeline.model_dump(), of_features, of_label))
    if found:
        raise SelectionError("\n".join(f"{dotted(place)}: {message}" for place, message in found))


def unknown(
    pipeline: Any, of_features: list[str] | None, of_label: list[str] | None
) -> Iterator[tuple[Place, str]]:
    """Yield each place of a pipeline, as written, that names a column which is not there."""
    if not isinstance(pipeline, dict):
        return
    places: list[tuple[Place, Any, list[str] | None]] = [
        ((key,), pipeline.get(key), of_label if key == "label" else of_features)
        for key in ("label", "groups", "unsupervised_stratify_col", "features")
    ]
    for key in ("feature_encoders", "interpolations"):
        steps = pipeline.get(key)
        for i, step in enumerate(steps if isinstance(steps, list) else []):
            if isinstance(step, dict):
                places.append(((key, i, "columns"), step.get("columns"), of_features))
    for place, named, known in places:
        for name in named if isinstance(named, list) else [named]:
            if known is not None and isinstance(name, str) and name not in known:
                yield ("pipeline", *place), f"no column {name!r}. {did_you_mean(name, known)}"
