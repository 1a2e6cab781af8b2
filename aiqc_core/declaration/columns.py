"""Whether the columns that a declaration names are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from pyarrow import parquet

from aiqc_core.declaration.faults import did_you_mean
from aiqc_core.ingest.delimited import header_of
from aiqc_core.ingest.tabular import DELIMITERS, FORMATS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aiqc_core.declaration.faults import Place
    from aiqc_core.experiment import Labelled


def header(file: Path) -> list[str]:
    """Return the columns of a csv, tsv or parquet file without reading its rows.

    Raises:
        Exception: whatever the reader raises on a broken file.
    """
    kind = FORMATS[file.suffix.lower()]
    if kind == "parquet":
        return list(parquet.read_schema(file).names)
    return header_of(file, DELIMITERS[kind])


def of_values(found: Labelled) -> tuple[list[str] | None, list[str] | None]:
    """Return the columns of the features and of the label; None where they have no names."""
    values = list(map(str, found.values)) if isinstance(found.values, pd.DataFrame) else None
    return values, values if found.labels is None else list(map(str, found.labels))


def unknown(
    pipeline: Any, of_features: list[str] | None, of_label: list[str] | None
) -> Iterator[tuple[Place, str]]:
    """Yield each place of a pipeline, as written, that names a column which is not there."""
    if not isinstance(pipeline, dict):
        return
    for place, given, known in _named(pipeline, of_features, of_label):
        names = given if isinstance(given, list) else [given]
        for name in names:
            if known is not None and isinstance(name, str) and name not in known:
                yield ("pipeline", *place), f"no column {name!r}. {did_you_mean(name, known)}"


def _named(
    pipeline: dict[str, Any], of_features: list[str] | None, of_label: list[str] | None
) -> Iterator[tuple[Place, Any, list[str] | None]]:
    for key in ("label", "groups", "unsupervised_stratify_col", "features"):
        if pipeline.get(key) is not None:
            yield (key,), pipeline[key], of_label if key == "label" else of_features
    for key in ("feature_encoders", "interpolations"):
        steps = pipeline.get(key)
        for i, step in enumerate(steps if isinstance(steps, list) else []):
            if isinstance(step, dict) and step.get("columns") is not None:
                yield (key, i, "columns"), step["columns"], of_features
