"""Read registered values from outside the store; refuse any that changed."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import pandas as pd
from pyarrow.parquet import ParquetFile

from aiqc_core.stages.ingest import content, images, parquet, tabular
from aiqc_core.stages.ingest.arrays import NPY_ENDING
from aiqc_core.stages.ingest.delimited import Hints
from aiqc_core.stages.ingest.paths import local_path, refuse_changed
from aiqc_core.stages.ingest.selection import checked_positions

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

    from aiqc_core.stages.ingest.content import Source

    # Identifies an unchanged source: path, hash, and time and size of each file.
    Stamp = tuple[str, str, tuple[tuple[str, int, int], ...]]

MOST_BYTES = 2**28  # of values in memory

_unchanged: set[Stamp] = set()  # sources that this process has read whole and compared
_without_words: set[Stamp | None] = set()  # registered when words for blanks were blanks in text


class Recent:
    """The values used last, up to `MOST_BYTES`; safe between threads.

    It returns a frame that copies on write, as always in pandas 3, and a copy of an array.
    """

    def __init__(self) -> None:
        self._held: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> Any:
        """Return the values of a key, None where they are not held."""
        with self._lock:
            if key not in self._held:
                return None
            self._held.move_to_end(key)
            return _own(self._held[key][0])

    def put(self, key: Hashable, values: pd.DataFrame | NDArray[Any]) -> None:
        """Hold values and drop those used longest ago; too large ones are not held."""
        size = _size(values)
        if size > MOST_BYTES:
            return
        with self._lock:
            self._held.pop(key, None)
            self._held[key] = (_own(values), size)
            while sum(held for _, held in self._held.values()) > MOST_BYTES:
                self._held.popitem(last=False)


_recent = Recent()


def read_part(
    source: Source,
    names: Sequence[str],
    dtypes: dict[str, str] | str,
    sha256: str,
    *,
    columns: Sequence[str],
    samples: Sequence[int] | None,
) -> Any:
    """Return a selection of a registered source as it was registered.

    A process decodes and hashes a source whole when it first reads it, and again when the time
    or size of one of its files changed. After that it takes text and images from memory while
    they are recent and not too large. Otherwise it decodes the selected columns, of a Parquet
    file only their row groups (categories need all), and maps a `.npy` file into memory.

    `names` (of all columns), `dtypes` and `sha256` are as registered; `columns` and `samples`
    (positions, all when None) are selected in this order.

    Raises:
        IngestError: it changed since, or can no longer be read.
        SelectionError: an unknown position.
    """
    stamp = _stamp(source, sha256)
    values = None if stamp is None else _recent.get((stamp, tuple(names), str(dtypes)))
    if values is None and stamp in _unchanged and not isinstance(dtypes, str):
        wanted = {name: dtypes[name] for name in columns}
        if tabular.format_of(str(source.place)) != "parquet":
            keeps_words = stamp not in _without_words
            values = _columns_of_text(source, names, wanted, keeps_words=keeps_words)
        elif "category" not in wanted.values():
            return _part_of_parquet(source, names, wanted, samples)
    if values is None:
        values = _read_whole(source, names, dtypes, sha256, stamp)
    return content.take(values, list(names), samples, columns)


def _read_whole(
    source: Source,
    names: Sequence[str],
    dtypes: dict[str, str] | str,
    sha256: str,
    stamp: Stamp | None,
) -> Any:
    def read(*, keeps_words: bool) -> Any:
        found = content.read(
            source, rename_columns=names, retype=dtypes, quiet=True, keeps_words=keeps_words
        )
        return found.values

    source_format = tabular.format_of(str(source.place))
    values = read(keeps_words=stamp not in _without_words)
    if stamp is None or stamp not in _unchanged:
        found = content.digest_of(values, names)
        if found != sha256 and source_format in tabular.DELIMITERS:
            earlier = read(keeps_words=False)
            if content.digest_of(earlier, names) == sha256:
                values, found = earlier, sha256
                _without_words.add(stamp)
        refuse_changed(source.shown, registered=sha256, found=found)
    if stamp is not None:
        _unchanged.add(stamp)
        is_npy = str(source.place).lower().endswith(NPY_ENDING)
        if source_format != "parquet" and not is_npy:  # they are decoded fast
            _recent.put((stamp, tuple(names), str(dtypes)), values)
    return values


def _columns_of_text(
    source: Source, names: Sequence[str], wanted: dict[str, str], *, keeps_words: bool
) -> pd.DataFrame:
    """Decode some columns of a CSV or TSV, in the file's order."""
    there = [name for name in names if name in wanted]
    frame, _ = tabular.read_table(
        str(source.place),
        header=source.header,
        positions=[names.index(n) for n in there],
        hints=Hints(there, wanted, quiet=True, keeps_words=keeps_words),
    )
    return tabular.conform(frame, rename_columns=there, retype=wanted)


def _part_of_parquet(
    source: Source, names: Sequence[str], wanted: dict[str, str], samples: Sequence[int] | None
) -> pd.DataFrame:
    path: Any = local_path(str(source.place))
    count = ParquetFile(path).metadata.num_rows
    rows = None if samples is None else checked_positions("samples", samples, count)
    part = parquet.read_part(path, [names.index(name) for name in wanted], rows)
    return tabular.conform(part, rename_columns=list(wanted), retype=wanted)


def _stamp(source: Source, sha256: str) -> Stamp | None:
    """Return what identifies an unchanged local file or folder; None of anything else."""
    path = None if source.place is None else local_path(source.place)
    if source.urls is not None or path is None:
        return None
    if path.is_file():
        files = [("", str(path))]
    elif source.kind == content.IMAGE and path.is_dir():
        files = images.folder_sources(path)
    else:
        return None
    facts = [(name, Path(file).stat()) for name, file in files]
    moments = tuple((name, found.st_mtime_ns, found.st_size) for name, found in facts)
    return str(path.absolute()), sha256, moments


def _own(values: Any) -> Any:
    return values.copy(deep=False) if isinstance(values, pd.DataFrame) else values.copy()


def _size(values: Any) -> int:
    if isinstance(values, pd.DataFrame):
        return int(values.memory_usage(index=False, deep=True).sum())
    return int(values.nbytes)
