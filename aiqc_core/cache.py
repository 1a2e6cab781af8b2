"""Arrays on disk that training reads: written whole or not at all, mapped into memory.

A folder of the cache holds one subfolder a split, with `label.npy` and `feature_<i>.npy`, files of
bytes beside them, and `manifest.json` with the size and SHA-256 of each file. The folder is made
under another name and renamed when it is complete, so that a reader never sees half of it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock

from aiqc_core.errors import MetastoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from concurrent.futures import Future

    from numpy.typing import NDArray

MANIFEST = "manifest.json"
BLOCK_BYTES = 8 * 2**20


def write(
    folder: Path,
    splits: Iterable[tuple[str, Mapping[str, NDArray[np.generic]]]],
    files: Mapping[str, bytes],
) -> None:
    """Write a folder of the cache in one step.

    Args:
        folder: where it will stand; a broken one that stands there is replaced.
        splits: pairs of a split's name and its arrays by name, taken one at a time so that only
            one split is held in memory.
        files: further files by name, in the folder's root.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.parent / f".{folder.name}.{uuid.uuid4().hex}"
    entries: dict[str, Future[dict[str, object]]] = {}
    try:
        draft.mkdir()
        with ThreadPoolExecutor(1) as beside:  # hashes what is written while the next is computed
            for path in _written(draft, splits, files):
                entries[str(path.relative_to(draft))] = beside.submit(_entry, path)
        manifest = {name: entries[name].result() for name in sorted(entries)}
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=1))
        shutil.rmtree(folder, ignore_errors=True)
        draft.replace(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def is_whole(folder: Path, *, verify: bool = False) -> bool:
    """Say whether every file of the manifest has its size, and with `verify` its hash."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        sizes_hold = all((folder / n).stat().st_size == e["size"] for n, e in manifest.items())
        return sizes_hold and not (
            verify and any(_sha256(folder / n) != e["sha256"] for n, e in manifest.items())
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def lock(folder: Path, *, timeout_seconds: float = 3600.0) -> FileLock:
    """Return the lock under which a folder of the cache is built, across processes."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(folder.parent / f".{folder.name}.lock", timeout=timeout_seconds)


def load(folder: str | Path, name: str) -> NDArray[np.generic]:
    """Map one array of a split's folder into memory, read-only.

    Args:
        folder: the folder of a split.
        name: `'label'` or `'feature_<i>'`.

    Raises:
        MetastoreError: when the file is missing or cut short.
    """
    path = Path(folder) / f"{name}.npy"
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        message = (
            f"cache: cannot read {path} ({error}). "
            "Run splitset.cache_samples(), which builds what is missing."
        )
        raise MetastoreError(message) from error


def remove(folder: Path) -> None:
    """Delete a folder of the cache; a missing one is no error."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder.parent / f".{folder.name}.lock").unlink(missing_ok=True)


def _written(
    draft: Path,
    splits: Iterable[tuple[str, Mapping[str, NDArray[np.generic]]]],
    files: Mapping[str, bytes],
) -> Iterator[Path]:
    """Write file after file, and yield the path of each when it is complete."""
    for split, arrays in splits:
        (draft / split).mkdir()
        for name, array in arrays.items():
            path = draft / split / f"{name}.npy"
            _save(path, array)
            yield path
    for name, data in files.items():
        (draft / name).write_bytes(data)
        yield draft / name


def _save(path: Path, array: NDArray[np.generic]) -> None:
    """Write an array as `np.save` does, views block by block so that no copy of all is made."""
    if array.flags.forc:
        np.save(path, array, allow_pickle=False)
        return
    rows = max(BLOCK_BYTES // max(array[:1].nbytes, 1), 1)
    with path.open("wb") as stream:
        header = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(stream, header)
        for start in range(0, len(array), rows):
            stream.write(np.ascontiguousarray(array[start : start + rows]).data)


def _entry(path: Path) -> dict[str, object]:
    return {"size": path.stat().st_size, "sha256": _sha256(path)}


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
