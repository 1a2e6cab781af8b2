"""Read and write objects in a store by its fsspec URL, whole or not at all.

`AIQC_ARTIFACTS` is the URL: `s3://bucket/prefix`, `file:///folder`, or `memory://name` within one
process. Temporary faults are tried again for some seconds. Errors show no credentials.
"""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import re
import time
import uuid
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple

from fsspec import config as fsspec_settings
from fsspec.core import url_to_fs  # pyright: ignore[reportUnknownVariableType]
from fsspec.implementations.local import LocalFileSystem

from aiqc_core import config
from aiqc_core.errors import ArtifactsError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

PIECE_BYTES = 8 * 2**20  # fetched and hashed at a time
BLOCK_BYTES = 2**16  # written to a file at a time: small blocks need less free memory at once
PART_BYTES = 32 * 2**20  # larger objects are sent in parts of this size
AHEAD = 4  # pieces that are fetched at once
PAUSES_SECONDS = (0.2, 0.5, 1.2)  # before each further try
LASTING = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS,
    errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR,
)  # fmt: skip
CONNECT_SECONDS, READ_SECONDS = 5, 60
SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs"}
EXAMPLES = "s3://bucket/prefix or file:///shared/folder"


class Entry(NamedTuple):
    """An object in the store; its age is by the store's clock and this machine's."""

    name: str  # below the store's URL
    size: int  # bytes
    age_seconds: float


def configured() -> ObjectStore | None:
    """Return the store of `AIQC_ARTIFACTS`, None where it is not set; errors as `ObjectStore`."""
    url = config.settings.artifacts
    return None if url is None else _opened(url, os.getpid())


@lru_cache(maxsize=8)
def _opened(url: str, _pid: int) -> ObjectStore:
    return ObjectStore(url)


class ObjectStore:
    """Objects by name below a URL.

    A URL without a place or with credentials, or a package that is missing, is an ArtifactsError,
    and so is a store that cannot be reached, read or written. A name consists of letters, digits,
    `/`, `.`, `_` and `-`.
    """

    def __init__(self, url: str) -> None:
        scheme, mark, place = url.partition("://")
        where = f"AIQC_ARTIFACTS: {redacted(url)!r}"
        if not (mark and scheme and place.strip("/")):
            raise ArtifactsError(f"{where} names no place; give {EXAMPLES}.")
        if "@" in place or "?" in place:
            raise ArtifactsError(
                f"{where} holds credentials or options, which would be shown; give {EXAMPLES}, "
                "and credentials as fsspec and AWS read them (AWS_ACCESS_KEY_ID, AWS_PROFILE, a "
                "role)."
            )
        self.url = url.rstrip("/")
        try:
            opened: Any = url_to_fs(url, **_options(scheme))  # pyright: ignore[reportUnknownVariableType]
        except (ImportError, ValueError) as error:
            package = PACKAGES.get(scheme)
            remedy = f"; for {scheme}:// do: pip install {package}" if package else ""
            raise ArtifactsError(
                f"artifacts: {self.url} cannot be used ({error}). Give AIQC_ARTIFACTS as "
                f"{EXAMPLES}{remedy}."
            ) from error
        self._system: Any = opened[0]
        if hasattr(self._system, "retries"):
            self._system.retries = 1  # of s3fs; `_retried` does it for all file systems
        self._root = str(opened[1]).rstrip("/")
        self._is_local = isinstance(self._system, LocalFileSystem)

    def shown(self, name: str) -> str:
        """Return the URL of an object, for messages."""
        return f"{self.url}/{name}"

    def put(self, name: str, data: bytes | memoryview) -> None:
        """Write or replace an object in one step, large ones in parts.

        A local file is written beside its place and renamed, and a thread syncs it to the disk:
        SQLite's log (`synchronous=normal`) waits for no disk at a commit either.
        """
        path = self._path(name)
        view = memoryview(data).cast("B")
        if self._is_local:
            call = partial(_write_file, Path(path), view)
        elif len(view) <= PART_BYTES:
            call = partial(self._system.pipe_file, path, bytes(view))
        else:
            call = partial(self._put_parts, path, view)
        try:
            self._retried(call)
        except FileNotFoundError as error:  # no such bucket
            raise self._failed(error) from error

    def get(self, name: str) -> bytes:
        """Return an object's bytes; a missing one is a NotFoundError."""
        return b"".join(self.pieces(name))

    def pieces(self, name: str, size: int | None = None) -> Iterator[bytes]:
        """Yield an object's bytes in pieces, some fetched ahead; a `size` that is known helps."""
        size = self.size(name) if size is None else size
        if size is None:
            raise self._missing(name)
        starts = range(0, size, PIECE_BYTES)
        if len(starts) <= 1:
            yield self._piece(name, 0, size) if size else b""
            return
        with ThreadPoolExecutor(AHEAD) as pool:
            waiting: deque[Future[bytes]] = deque()
            for start in starts:
                waiting.append(pool.submit(self._piece, name, start, start + PIECE_BYTES))
                if len(waiting) == AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def size(self, name: str) -> int | None:
        """Return an object's size in bytes, None where there is no such object."""
        with suppress(FileNotFoundError):
            return int(self._retried(partial(self._system.info, self._path(name)))["size"])
        return None

    def put_file(self, name: str, path: Path) -> None:
        """Write a file of this machine as an object; see `put`."""
        with path.open("rb") as source:
            if not path.stat().st_size:
                self.put(name, b"")
                return
            with (
                mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as data,
                memoryview(data) as view,
            ):
                self.put(name, view)

    def get_file(self, name: str, path: Path) -> str:
        """Write an object's bytes to a file of this machine and return their SHA-256."""
        hasher = hashlib.sha256()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as sink:
            for piece in self.pieces(name):
                hasher.update(piece)
                sink.write(piece)
        return hasher.hexdigest()

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects, in this order; a missing one is no error."""
        paths = [self._path(name) for name in names]
        if paths and hasattr(self._system, "_bulk_delete"):  # S3: a thousand in one request
            self._retried(partial(self._system.rm, paths))
            return
        for path in paths:
            with suppress(FileNotFoundError):
                self._retried(partial(self._system.rm_file, path))

    def entries(self, prefix: str) -> list[Entry]:
        """Return the objects below a name, sorted by name, without drafts of files."""
        try:
            find = partial(self._system.find, self._path(prefix), detail=True)
            found: dict[str, dict[str, Any]] = self._retried(find)
        except FileNotFoundError:
            return []
        now = time.time()
        start = len(self._root) + 1
        return [
            Entry(path[start:], int(about["size"]), now - _written(about))
            for path, about in sorted(found.items())
            if not path.rsplit("/", 1)[-1].startswith(".")
        ]

    def _piece(self, name: str, start: int, end: int) -> bytes:
        call = partial(self._system.cat_file, self._path(name), start=start, end=end)
        try:
            return self._retried(call)
        except FileNotFoundError as error:
            raise self._missing(name) from error

    def _put_parts(self, path: str, view: memoryview) -> None:
        stream = self._system.open(path, "wb", block_size=PART_BYTES, autocommit=False)
        try:
            for start in range(0, len(view), PART_BYTES):
                stream.write(view[start : start + PART_BYTES])
            stream.close()
            stream.commit()
        except BaseException:
            with suppress(Exception):
                stream.discard()  # the parts that were sent
            stream.closed = True  # else the garbage collector sends it again
            raise

    def _retried(self, call: Callable[[], Any]) -> Any:
        """Return the result of a call, tried again after temporary faults.

        Raises:
            FileNotFoundError: there is no such object, or no such bucket.
            ArtifactsError: every try failed, or trying again is useless.
        """
        pauses = iter(PAUSES_SECONDS)
        while True:
            try:
                return call()
            except FileNotFoundError:
                raise
            except Exception as error:
                pause = next(pauses, None)
                if pause is None or _is_lasting(error):
                    raise self._failed(error) from error
                time.sleep(pause)

    def _failed(self, error: Exception) -> ArtifactsError:
        reason = redacted(f"{type(error).__name__}: {error}")
        remedy = "runs and can be reached (AIQC_ARTIFACTS, AWS_ENDPOINT_URL)"
        if _is_lasting(error):
            remedy = "exists, has room and may be read and written (AIQC_ARTIFACTS)"
        return ArtifactsError(
            f"artifacts: {self.url} cannot be reached or used ({reason}). See that it {remedy}; "
            "nothing that was stored is lost: then run the same again."
        )

    def _missing(self, name: str) -> NotFoundError:
        return NotFoundError(f"artifacts: there is no object {self.shown(name)}.")

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"


def redacted(text: str) -> str:
    """Return a message without passwords, user names and options of URLs, and without AWS keys.

    >>> redacted("http://me:secret@host/x")
    'http://…@host/x'
    """
    text = re.sub(r"://[^/@\s]+@", "://…@", text)
    text = re.sub(r"\?[^\s'\"]*=[^\s'\"]*", "?…", text)  # signed urls
    for name in SECRETS:
        secret = os.environ.get(name)
        text = text.replace(secret, "…") if secret else text
    return text


def _options(scheme: str) -> dict[str, Any]:
    """Return the options of a file system; fsspec's own settings have priority."""
    if PACKAGES.get(scheme) != "s3fs":
        return {}
    settings: dict[str, Any] = dict(fsspec_settings.conf.get("s3", {}))
    waits = {"connect_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS}
    config_kwargs = waits | {"retries": {"max_attempts": 0}} | settings.get("config_kwargs", {})
    return {"config_kwargs": config_kwargs, "use_listings_cache": False}  # others write too


def _is_lasting(error: Exception) -> bool:
    kinds = (FileNotFoundError, PermissionError, ValueError, TypeError, NotImplementedError)
    return isinstance(error, kinds) or getattr(error, "errno", None) in LASTING


def _write_file(path: Path, view: memoryview) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with draft.open("xb") as sink:
            for start in range(0, len(view), BLOCK_BYTES):
                sink.write(view[start : start + BLOCK_BYTES])
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    Thread(target=_sync, args=(path,), name="aiqc-to-disk").start()


def _sync(path: Path) -> None:
    with suppress(OSError), path.open("rb") as stream:  # it may be deleted meanwhile
        os.fsync(stream.fileno())


def _written(about: dict[str, Any]) -> float:
    """Return when an object was written, in seconds since 1970, from any file system's facts."""
    when = about.get("LastModified") or about.get("mtime") or about.get("created")
    if isinstance(when, datetime):
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    return float(when) if when is not None else time.time()
