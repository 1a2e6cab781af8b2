"""Read, describe, hash and store the content of a Dataset of any kind, and give it back."""

from __future__ import annotations

import hashlib
import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from aiqc_core.stages.ingest import arrays, images, tabular
from aiqc_core.stages.ingest.delimited import Hints
from aiqc_core.stages.ingest.digest import array_digest, frame_digest
from aiqc_core.stages.ingest.parquet import from_parquet, is_kept_by, read_parquet, to_parquet

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from concurrent.futures import Future

    from numpy.typing import NDArray

TABULAR, SEQUENCE, IMAGE = "tabular", "sequence", "image"
NDIM = {kind: len(axes) for kind, axes in arrays.AXES.items()}
MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class Source:
    """The place of values that are not in the store."""

    kind: str  # TABULAR, SEQUENCE or IMAGE
    place: str | None = None  # the path of the file or folder; the place that urls share, if any
    urls: tuple[str, ...] | None = None  # of images
    header: object = "infer"  # of a CSV or TSV, see `read_delimited`

    @property
    def shown(self) -> str:
        """The source in errors."""
        return str(self.place) if self.urls is None else f"{len(self.urls)} urls"


@dataclass(frozen=True, slots=True)
class Content:
    """Values as they will be registered, and their description."""

    kind: str  # TABULAR, SEQUENCE or IMAGE
    values: Any  # a DataFrame, or an array `(samples, …, columns)`
    source_format: str  # `'dataframe'`, `'ndarray'`, a file's format, or the images' one
    columns: list[str]
    dtypes: dict[str, str] | str  # `{column: dtype}` of a table, one dtype of an array
    shape: dict[str, int]  # `{axis: length}`
    memory_mb: int  # MiB in memory, rounded up, at least 1
    contains_nan: bool  # NaN, None, NaT or pd.NA
    file: Hashed | None = None  # the source's own bytes, where they can be stored as they are

    def digest(self) -> str:
        """Return the SHA-256 of names, dtypes and values."""
        return digest_of(self.values, self.columns)

    def to_bytes(self) -> memoryview:
        """Return what is stored: Parquet for a table, npy for an array."""
        if self.kind == TABULAR:
            return to_parquet(self.values)
        return memoryview(arrays.to_npy(self.values))

    @contextmanager
    def sealed(self, *, ingest: bool) -> Generator[Sealed]:
        """Give what is registered of it; a thread takes the digest meanwhile."""
        with ThreadPoolExecutor(1) as beside:
            digest = beside.submit(self.digest)
            yield Sealed(digest, (self.file or Hashed(self.to_bytes())) if ingest else None)


class Hashed:
    """Bytes and their SHA-256, which a thread computes."""

    def __init__(self, data: bytes | memoryview) -> None:
        self.data = memoryview(data)
        beside = ThreadPoolExecutor(1)
        self._address = beside.submit(lambda: hashlib.sha256(data).hexdigest())
        beside.shutdown(wait=False)

    def whole(self) -> tuple[memoryview, str]:
        """Return the bytes, and wait for their SHA-256."""
        return self.data, self._address.result()


@dataclass(frozen=True, slots=True)
class Sealed:
    """The digest of a content and the bytes to store, None for what stays outside."""

    digest: Future[str]
    stored: Hashed | None

    @property
    def sha256(self) -> str:
        """The digest, see `Content.digest`; waits for it."""
        return self.digest.result()


def of_table(frame: pd.DataFrame, source_format: str, **changes: Any) -> Content:
    """Return a table as content, or refuse it; `changes` as in `tabular.conform`."""
    values = tabular.conform(frame, **changes)
    return Content(
        kind=TABULAR,
        values=values,
        source_format=source_format,
        columns=list(values.columns),
        dtypes={str(name): str(dtype) for name, dtype in values.dtypes.items()},
        shape={"samples": len(values), "columns": len(values.columns)},
        memory_mb=_mebibytes(values.memory_usage(index=False, deep=True).sum()),
        contains_nan=any(column.isna().any() for _, column in values.items()),
    )


def of_array(array: NDArray[Any], kind: str, source_format: str, **changes: Any) -> Content:
    """Return a sequence or images as content, or refuse them; `changes` as in `arrays.conform`."""
    values, columns = arrays.conform(array, ndim=NDIM[kind], **changes)
    return Content(
        kind=kind,
        values=values,
        source_format=source_format,
        columns=columns,
        dtypes=str(values.dtype),
        shape=dict(zip(arrays.AXES[kind], values.shape, strict=True)),
        memory_mb=_mebibytes(values.nbytes),
        contains_nan=arrays.contains_nan(values),
    )


def _mebibytes(size: float) -> int:
    return max(1, math.ceil(size / MEBIBYTE))


def read(
    source: Source,
    *,
    rename_columns: Sequence[str] | None = None,
    retype: object = None,
    keep_file: bool = False,
    known: Mapping[str, str] | None = None,
    quiet: bool = False,
    keeps_words: bool = True,
) -> Content:
    """Read a source whole and return its content.

    Args:
        source: the place of the values.
        rename_columns: new names, one for each column.
        retype: a dtype for all columns, or of a table `{column: dtype}`.
        keep_file: keep the bytes of a Parquet file, to store them instead of an encoding of ours.
        known: dtypes of a CSV's or TSV's columns, by name; those of `retype` by default.
        quiet: see `Hints`.
        keeps_words: see `Hints`.

    Raises:
        IngestError: it is missing, unreadable, or cannot be kept exactly.
    """
    changes: dict[str, Any] = {"rename_columns": rename_columns, "retype": retype}
    if source.kind != TABULAR:
        if source.urls is not None:
            array, source_format = images.from_urls(source.urls)
        elif source.kind == IMAGE and not str(source.place).lower().endswith(arrays.NPY_ENDING):
            array, source_format = images.from_folder(str(source.place))
        else:
            array, source_format = arrays.read_npy(str(source.place))
        return of_array(array, source.kind, source_format, **changes)
    hints = Hints(rename_columns, retype if known is None else known, quiet, keeps_words)
    place = str(source.place)
    changes["called"] = f"file_path: {place}"
    data = tabular.read_parquet_bytes(place) if keep_file else None
    if data is None:
        frame, source_format = tabular.read_table(place, header=source.header, hints=hints)
        return of_table(frame, source_format, **changes)
    file = Hashed(data)
    found = of_table(read_parquet(Path(place), data), "parquet", **changes)
    return replace(found, file=file) if is_kept_by(data, found.values) else found


def from_bytes(kind: str, data: bytes | memoryview, columns: Sequence[str] | None = None) -> Any:
    """Return the values that `Content.to_bytes` gave; of a table only some columns, if asked."""
    return from_parquet(data, columns) if kind == TABULAR else arrays.from_npy(data)


def take(
    values: Any,
    names: Sequence[str],
    samples: Sequence[int] | None,
    columns: Sequence[str] | None,
) -> Any:
    """Return samples by position and columns by name, in the order asked for."""
    if isinstance(values, pd.DataFrame):
        return tabular.take(values, samples, columns)
    return arrays.take(values, names, samples, columns)


def digest_of(values: Any, columns: Sequence[str]) -> str:
    """Return the SHA-256 of values and of the names of their columns."""
    if isinstance(values, pd.DataFrame):
        return frame_digest(values)
    names = np.array(list(columns))
    return array_digest(np.array([array_digest(names), array_digest(values)]))
