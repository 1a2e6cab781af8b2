"""Write the arrays that training reads to disk, whole or not at all, and map them into memory.

A folder of the cache holds one subfolder per split, with `label.npy` and `feature_<i>.npy`, files
of bytes beside them, and `manifest.json` with the size and SHA-256 of each file. It is written
under another name and renamed when it is complete, so that a reader never sees half of it. Its
copy on an object store has the same names; the manifest is written last.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock

from aiqc_core.errors import ArtifactsError, MetastoreError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from aiqc_core.storage.objects import ObjectStore

MANIFEST = "manifest.json"
BLOCK_BYTES = 8 * 2**20
CONNECTIONS = 4  # files of one folder that go to or come from an object store at once


def write(
    folder: Path,
    splits: Iterable[tuple[str, Mapping[str, NDArray[np.generic]]]],
    files: Mapping[str, bytes],
) -> None:
    """Write a folder of the cache in one step, under its `lock`; remove drafts of killed writers.

    A broken folder in its place is replaced. Splits are pairs of a name and arrays by name, taken
    one at a time so that memory holds one split only; `files` go to the folder's root.

    Raises:
        MetastoreError: a file cannot be written: the disk is full.
    """
    for left in folder.parent.glob(f".{folder.name}.*/"):
        shutil.rmtree(left, ignore_errors=True)
    entries: dict[str, Future[dict[str, object]]] = {}
    with _replaced(folder) as draft:
        with ThreadPoolExecutor(1) as beside:  # hashes a file while the next is computed
            for path in _written(draft, splits, files):
                entries[str(path.relative_to(draft))] = beside.submit(_entry, path)
        manifest = {name: entries[name].result() for name in sorted(entries)}
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=1))


def is_whole(folder: Path, *, verify: bool = False) -> bool:
    """Say whether every file of the manifest has its size, and with `verify` its hash."""
    try:
        found = [(folder / n, e) for n, e in json.loads((folder / MANIFEST).read_text()).items()]
        has_sizes = all(path.stat().st_size == entry["size"] for path, entry in found)
        hashed = found if verify and has_sizes else []
        return has_sizes and all(_sha256(path) == entry["sha256"] for path, entry in hashed)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def lock(folder: Path, *, timeout_seconds: float = 3600.0) -> FileLock:
    """Return the lock under which a folder of the cache is built, across processes."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(folder.parent / f".{folder.name}.lock", timeout=timeout_seconds)


def publish(folder: Path, store: ObjectStore, name: str) -> None:
    """Copy a whole folder of the cache to a store, as `name` below its URL, the manifest last."""
    files: list[str] = list(json.loads((folder / MANIFEST).read_text()))
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        waiting = [pool.submit(store.put_file, f"{name}/{file}", folder / file) for file in files]
        for copied in waiting:
            copied.result()
    store.put_file(f"{name}/{MANIFEST}", folder / MANIFEST)


def retrieve(folder: Path, store: ObjectStore, name: str) -> bool:
    """Write a folder of the cache from its copy; return False where the store has none.

    Raises:
        ArtifactsError: the store cannot be reached, or the copy is damaged.
    """
    try:
        text = store.get(f"{name}/{MANIFEST}")
    except NotFoundError:
        return False
    try:
        with _replaced(folder) as draft:
            _fetch_files(draft, store, name, json.loads(text))
            (draft / MANIFEST).write_bytes(text)
    except (NotFoundError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactsError(
            f"artifacts: the samples {store.shown(name)} are damaged ({error})."
        ) from error
    return True


def withdraw(store: ObjectStore, prefix: str) -> None:
    """Delete the copies below a name from an object store, their manifests first."""
    store.delete(manifests_first([entry.name for entry in store.entries(prefix)]))


def manifests_first(names: list[str]) -> list[str]:
    """Return names in an order of deletion at which no partial copy looks whole.

    >>> manifests_first(["a/x.npy", "a/manifest.json"])
    ['a/manifest.json', 'a/x.npy']
    """
    return sorted(names, key=lambda name: not name.endswith(f"/{MANIFEST}"))


def load(folder: str | Path, name: str) -> NDArray[np.generic]:
    """Map an array of a split's folder into memory, read-only: `'label'` or `'feature_<i>'`.

    Raises:
        MetastoreError: the file is missing or cut short.
    """
    path = Path(folder) / f"{name}.npy"
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise MetastoreError(
            f"cache: cannot read {path} ({error}). "
            "Run splitset.cache_samples(), which builds what is missing."
        ) from error


def remove(folder: Path) -> None:
    """Delete a folder of the cache; a missing one is no error."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder.parent / f".{folder.name}.lock").unlink(missing_ok=True)


def _fetch_files(draft: Path, store: ObjectStore, name: str, entries: dict[str, Any]) -> None:
    """Fetch what a manifest lists; a ValueError says that it lists or has something else."""
    root = draft.resolve()
    outside = [f for f in entries if not (root / f).resolve().is_relative_to(root)]
    if outside:
        raise ValueError(f"its manifest lists {outside}")

    def fetch(file: str) -> None:
        if store.get_file(f"{name}/{file}", draft / file) != entries[file]["sha256"]:
            raise ValueError(f"{file} has changed")

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(fetch, entries))


@contextmanager
def _replaced(folder: Path) -> Generator[Path]:
    """Give an empty folder that replaces `folder` in one step once it is complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.parent / f".{folder.name}.{uuid.uuid4().hex}"
    try:
        draft.mkdir()
        yield draft
        shutil.rmtree(folder, ignore_errors=True)
        draft.replace(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _written(
    draft: Path,
    splits: Iterable[tuple[str, Mapping[str, NDArray[np.generic]]]],
    files: Mapping[str, bytes],
) -> Iterator[Path]:
    """Write file after file, and yield the path of each when it is complete."""
    for split, arrays in splits:
        (draft / split).mkdir()
        for name, array in arrays.items():
            yield _save(draft / split / f"{name}.npy", array)
    for name, data in files.items():
        yield _save(draft / name, data)


def _save(path: Path, data: bytes | NDArray[np.generic]) -> Path:
    """Write bytes or an array; say where and why they cannot be written."""
    try:
        if isinstance(data, bytes):
            path.write_bytes(data)
        else:
            _save_array(path, data)
    except OSError as error:
        free = shutil.disk_usage(path.parent).free / 2**20
        raise MetastoreError(
            f"cache: cannot write samples below {path.parents[2]} ({error}; its disk has "
            f"{free:,.0f} MiB left). No half-written files stay. Free some room, such as by "
            "clear_cache_all() or `aiqc gc`, or set AIQC_HOME to another disk; then run again."
        ) from error
    return path


def _save_array(path: Path, array: NDArray[np.generic]) -> None:
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
