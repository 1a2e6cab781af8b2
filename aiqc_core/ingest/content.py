"""The content of a Dataset of any kind: read, described, hashed, stored and given back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pyarrow.parquet import ParquetFile

from aiqc_core.errors import IngestError
from aiqc_core.ingest import arrays, images, parquet, tabular
from aiqc_core.ingest.digest import array_digest, frame_digest
from aiqc_core.ingest.parquet import from_parquet, to_parquet
from aiqc_core.ingest.paths import local_path, refuse_changed
from aiqc_core.ingest.selection import checked_positions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

TABULAR, SEQUENCE, IMAGE = "tabular", "sequence", "image"
PARQUET_ENDINGS = (".parquet", ".pq")
NDIM = {SEQUENCE: 3, IMAGE: 4}

# Sources that were read whole and found unchanged by this process: path, time, size and hash.
_unchanged: set[tuple[str, int, int, str]] = set()


@dataclass(frozen=True, slots=True)
class Source:
    """Where values come from that are not in the store.

    Attributes:
        kind: `'tabular'`, `'sequence'` or `'image'`.
        place: the path of the file or folder; for urls the place they share, if any.
        urls: the urls of images.
        header: of a CSV or TSV, see `tabular.read_table`.
    """

    kind: str
    place: str | None = None
    urls: tuple[str, ...] | None = None
    header: object = "infer"

    @property
    def shown(self) -> str:
        """What an error calls it."""
        return str(self.place) if self.urls is None else f"{len(self.urls)} urls"


@dataclass(frozen=True, slots=True)
class Content:
    """Values as they will be registered, and what is said of them.

    Attributes:
        kind: `'tabular'`, `'sequence'` or `'image'`.
        values: a DataFrame, or an array `(samples, …, columns)`.
        source_format: `'dataframe'`, `'ndarray'`, a file's format, or the images' one.
        columns: names, in order.
        dtypes: `{column: dtype}` of a table, one dtype of an array.
        shape: `{axis: length}`.
        memory_mb: size in memory in MiB, at least 1.
        contains_nan: whether a value is missing.
    """

    kind: str
    values: Any
    source_format: str
    columns: list[str]
    dtypes: dict[str, str] | str
    shape: dict[str, int]
    memory_mb: int
    contains_nan: bool

    def digest(self) -> str:
        """Return the SHA-256 of names, dtypes and values."""
        return digest_of(self.values, self.columns)

    def to_bytes(self) -> bytes:
        """Return what is stored: Parquet for a table, npy for an array."""
        return to_parquet(self.values) if self.kind == TABULAR else arrays.to_npy(self.values)


def of_table(
    frame: pd.DataFrame,
    source_format: str,
    *,
    rename_columns: Sequence[str] | None = None,
    retype: object = None,
) -> Content:
    """Return a table as content, or refuse it; see `tabular.conform`."""
    values = tabular.conform(frame, rename_columns=rename_columns, retype=retype)
    about = tabular.describe(values)
    return Content(
        TABULAR, values, source_format, about.columns, about.dtypes, about.shape,
        about.memory_mb, about.contains_nan,
    )  # fmt: skip


def of_array(
    array: NDArray[Any],
    kind: Any,
    source_format: str,
    *,
    rename_columns: Sequence[str] | None = None,
    retype: object = None,
) -> Content:
    """Return a sequence or images as content, or refuse them; see `arrays.conform`."""
    values, columns = arrays.conform(
        array, ndim=NDIM[kind], rename_columns=rename_columns, retype=retype
    )
    about = arrays.describe(values, columns, kind)
    return Content(
        kind, values, source_format, columns, about.dtype, about.shape, about.memory_mb,
        about.contains_nan,
    )  # fmt: skip


def read(
    source: Source,
    *,
    rename_columns: Sequence[str] | None = None,
    retype: object = None,
) -> Content:
    """Read a source whole and return its content.

    Raises:
        IngestError: it is missing, unreadable, or cannot be kept exactly.
    """
    changes: dict[str, Any] = {"rename_columns": rename_columns, "retype": retype}
    if source.kind == TABULAR:
        frame, source_format = tabular.read_table(str(source.place), header=source.header)
        return of_table(frame, source_format, **changes)
    array, source_format = _read_array(source)
    return of_array(array, source.kind, source_format, **changes)


def read_again(
    source: Source, columns: Sequence[str], dtypes: dict[str, str] | str, sha256: str
) -> Any:
    """Read a registered source as it was registered, or say that it changed.

    A source is hashed whole the first time a process reads it and whenever its time or size
    moved; a `.npy` file is mapped into memory after that.

    Args:
        source: where it lies.
        columns: the names it was registered under.
        dtypes: the dtypes it was registered with.
        sha256: its hash at registration.

    Raises:
        IngestError: it changed since, naming it, or can no longer be read.
    """
    values = read(source, rename_columns=columns, retype=dtypes).values
    stamp = _stamp(source, sha256)
    if stamp is None or stamp not in _unchanged:
        refuse_changed(source.shown, registered=sha256, found=digest_of(values, columns))
        if stamp is not None:
            _unchanged.add(stamp)
    return values


def read_part(
    source: Source,
    names: Sequence[str],
    dtypes: dict[str, str] | str,
    sha256: str,
    *,
    columns: Sequence[str],
    samples: Sequence[int] | None,
) -> Any:
    """Return a selection of a registered source, decoding no more of it than is needed.

    Of a local Parquet file that this process has read whole and found unchanged, only the columns
    and row groups asked for are decoded; categories need all rows, so they are read whole.

    Args:
        source: where it lies.
        names: of all its columns, as registered.
        dtypes: the dtypes it was registered with.
        sha256: its hash at registration.
        columns: which, in this order.
        samples: positions, in this order; all when None.

    Raises:
        IngestError: it changed since, or can no longer be read.
        SelectionError: an unknown position.
    """
    stamp = _stamp(source, sha256)
    wanted = {} if isinstance(dtypes, str) else {name: dtypes[name] for name in columns}
    is_parquet = str(source.place).lower().endswith(PARQUET_ENDINGS)
    if not (wanted and is_parquet and stamp in _unchanged) or "category" in wanted.values():
        return take(read_again(source, names, dtypes, sha256), names, samples, columns)
    path: Any = local_path(str(source.place))
    positions = [list(names).index(name) for name in columns]
    count = ParquetFile(path).metadata.num_rows
    rows = None if samples is None else checked_positions("samples", samples, count)
    part = parquet.read_part(path, positions, rows)
    return tabular.conform(part, rename_columns=columns, retype=wanted)


def from_bytes(kind: str, data: bytes, columns: Sequence[str] | None = None) -> Any:
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


def _read_array(source: Source) -> tuple[NDArray[Any], str]:
    if source.urls is not None:
        return images.from_urls(source.urls)
    place = str(source.place)
    if source.kind == IMAGE and not place.lower().endswith(arrays.NPY_ENDING):
        return images.from_folder(place)
    return arrays.read_npy(place)


def _stamp(source: Source, sha256: str) -> tuple[str, int, int, str] | None:
    """Return what tells an unchanged local file at a glance; None where nothing does."""
    path: Path | None = None if source.place is None else local_path(source.place)
    if source.urls is not None or path is None or not path.is_file():
        return None
    facts = path.stat()
    return str(path.absolute()), facts.st_mtime_ns, facts.st_size, sha256


def refuse_remote_memory(argument: str, *, ingest: bool | None) -> None:
    """Refuse to leave values outside that lie in this process only."""
    if ingest is False:
        raise IngestError(
            f"ingest: False, but {argument} is held in memory and would be lost. Leave ingest "
            "out, or save the array with numpy.save and give its path."
        )
