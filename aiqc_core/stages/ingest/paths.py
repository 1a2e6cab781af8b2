"""Open files and list folders, of this machine or of any file system that fsspec knows."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from fsspec.core import url_to_fs

from aiqc_core.errors import IngestError

if TYPE_CHECKING:
    from collections.abc import Generator

LOCAL_PREFIXES = ("file://", "local://")
WEB_SCHEMES = ("http", "https")


def local_path(path: str | Path) -> Path | None:
    """Return the path in this machine's file system, None of another file system.

    >>> local_path("memory://a.csv") is None
    True
    """
    text = str(path)
    if text.startswith(LOCAL_PREFIXES):
        return Path(url_to_fs(text)[1])
    return None if "://" in text else Path(text)


def open_source(path: str | Path) -> IO[bytes]:
    """Open a file of this machine, or one that fsspec knows, such as `memory://a.csv`.

    Raises:
        IngestError: no such file, an http(s) url, or a file system that is not installed.
    """
    local = local_path(path)
    with _opening(path):
        if local is not None:
            return local.open("rb")
        system, place = url_to_fs(str(path))
        return system.open(place, "rb")


@contextmanager
def as_local(path: str | Path) -> Generator[Path]:
    """Give an existing file of any file system as one of this machine, a copy if needed."""
    local = local_path(path)
    if local is not None:
        if not local.is_file():
            raise IngestError(f"file_path: there is no file {local}; give the path of a file.")
        yield local
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / str(path).rsplit("/", 1)[-1]
        with open_source(path) as stream, copy.open("wb") as sink:
            shutil.copyfileobj(stream, sink)
        yield copy


def list_folder(path: str | Path) -> list[tuple[str, str, bool]]:
    """Return the content of a folder, unsorted: name, full path and whether it is a folder.

    Raises:
        IngestError: no such folder, an http(s) url, or a file system that is not installed.
    """
    local = local_path(path)
    missing = IngestError(f"folder_path: there is no folder {path}; give that of a folder.")
    if local is not None:
        if not local.is_dir():
            raise missing
        return [(entry.name, str(entry), entry.is_dir()) for entry in local.iterdir()]
    with _opening(path):
        system, place = url_to_fs(str(path))
        found: list[Any] | None = system.ls(place, detail=True) if system.isdir(place) else None
    if found is None:
        raise missing
    entries = [(system.unstrip_protocol(each["name"]), each["type"]) for each in found]
    return [(full.rsplit("/", 1)[-1], full, kind == "directory") for full, kind in entries]


def refuse_changed(source: str, *, registered: str, found: str) -> None:
    """Refuse a source that no longer has its registered content hash."""
    if registered != found:
        raise IngestError(
            f"{source} has changed since it was registered: its SHA-256 was {registered}, and is "
            f"{found}. Restore the source, or register what it is now as a new Dataset."
        )


@contextmanager
def _opening(path: str | Path) -> Generator[None]:
    """Refuse http(s) urls; turn the errors of opening a path into an IngestError."""
    if str(path).lower().startswith(tuple(f"{scheme}://" for scheme in WEB_SCHEMES)):
        raise IngestError(
            f"path: {path} is a url. Give images to Dataset.Image.from_urls; download anything "
            "else, and give its path."
        )
    try:
        yield
    except FileNotFoundError as error:
        raise IngestError(f"path: there is no file {path}; give the path of a file.") from error
    except (ImportError, OSError, ValueError) as error:
        raise IngestError(
            f"path: {path} cannot be opened: {error}. Give a path of this machine, or of a file "
            "system that fsspec finds installed."
        ) from error
