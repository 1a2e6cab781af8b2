"""Which columns a source has, as far as that is known before its rows are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from pyarrow import parquet

from aiqc_core.ingest.delimited import header_of
from aiqc_core.ingest.tabular import DELIMITERS, FORMATS

if TYPE_CHECKING:
    from pathlib import Path

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
