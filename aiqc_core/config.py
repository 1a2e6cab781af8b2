"""Settings of the environment: where the store is, and how processes share it."""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import re
import socket
import tempfile
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from aiqc_core.errors import MetastoreError, TrainingError

if TYPE_CHECKING:
    from collections.abc import Generator

HOME_VARIABLE = "AIQC_HOME"
CACHE_VARIABLE = "AIQC_CACHE"
ARTIFACTS_VARIABLE = "AIQC_ARTIFACTS"
DATABASE_VARIABLE = "AIQC_DATABASE_URL"
KEY_VARIABLE = "AIQC_STORE_KEY"
KEY_BYTES = 32
LOCAL_SCHEMES = ("file", "local")
POSTGRESQL = ("postgresql", "postgres")
LEASE_VARIABLE = "AIQC_LEASE_SECONDS"
SLOT_VARIABLE = "AIQC_LEASE"  # to a worker process: the open files that hold its device slot
HOST_VARIABLE = "AIQC_HOST_ID"
OOM_RETRY_VARIABLE = "AIQC_OOM_RETRY"
LEASE_SECONDS = 300
_expanded: set[str] = set()  # folders of settings


def home() -> Path:
    """Return the folder of the store: `$AIQC_HOME`, else `.aiqc` in the working directory.

    Nothing is created here; the first write to the store makes the folder.

    Raises:
        MetastoreError: see `given_folder`.
    """
    return given_folder(HOME_VARIABLE) or Path(".aiqc").absolute()


def given_folder(variable: str) -> Path | None:
    """Return the folder that a variable names, absolute; None where it is unset or blank.

    `~` and `$NAME` are expanded. A relative path is below the working directory of the first use:
    the variable is made absolute then, for this process and those that it starts.

    Raises:
        MetastoreError: it names a variable or a user that is not there.
    """
    folder = os.environ.get(variable, "")
    if not folder.strip():
        return None
    if folder not in _expanded:  # asked at each statement
        os.environ[variable] = folder = expanded(folder, variable)
        _expanded.add(folder)
    return Path(folder)


def expanded(given: str, variable: str) -> str:
    """Return an absolute path without `~` and `$NAME`, for the setting of that name.

    Raises:
        MetastoreError: it names a variable or a user that is not there, or is no path.
    """
    text = given.strip()
    if os.path.lexists(text) and not text.startswith("~"):  # a name that holds a $
        return str(Path(text).absolute())
    text = os.path.expanduser(os.path.expandvars(text))  # noqa: PTH111 - Path's raises its own error
    fault = _fault(given.strip(), text)
    if fault is not None:
        raise MetastoreError(f"{variable}={given!r}: {fault}. Give the path of a folder in full.")
    return str(Path(text).absolute())


def _fault(given: str, text: str) -> str | None:
    """Say what keeps a text, once it is expanded, from being the path of a folder."""
    if text.startswith("~") or re.search(r"\$(\w+|\{)", text):
        return f"there is no user or variable of a name that it holds, which leaves {text!r}"
    if given.startswith("~") and os.environ.get("HOME") == "":
        return "HOME, which ~ stands for, is empty"
    if re.match(r"\w+://", text):
        return "this is a URL"
    if re.search(r"^['\"]|['\"]$|%\w+%", text):
        return "quotes and %NAME% would be part of the folder's name"
    try:
        Path(text).lstat()
    except OSError as error:
        return "it is too long" if error.errno == errno.ENAMETOOLONG else None
    return None


def make_folder(folder: Path, variable: str) -> None:
    """Make a folder that a setting names, with those above it.

    Raises:
        MetastoreError: a file is there, or it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        above = next((part for part in (folder, *folder.parents) if os.path.lexists(part)), folder)
        what = f"{above} is no folder" if not above.is_dir() else (error.strerror or str(error))
        raise MetastoreError(
            f"{variable}: the folder {folder} cannot be made or written ({what}). Set {variable} "
            "to a folder that this user may write to."
        ) from error


def database_path() -> Path:
    """Return the SQLite file of the metastore, where `database_url` is None."""
    return home() / "aiqc.sqlite"


def database_url() -> str | None:
    """Return `$AIQC_DATABASE_URL`, the metastore on PostgreSQL; None means SQLite.

    Raises:
        MetastoreError: it is no URL of a PostgreSQL database.
    """
    url = os.environ.get(DATABASE_VARIABLE, "").strip()
    if url:
        parsed_database_url(url, DATABASE_VARIABLE)
    return url or None


@functools.lru_cache
def parsed_database_url(url: str, source: str) -> SplitResult:
    """Return the parts of `postgresql://user:password@host:port/database`.

    Raises:
        MetastoreError: it is no such URL. The text names `source`, the variable or option that
            holds the URL, and not the URL, which may hold a password.
    """
    try:
        parts = urlsplit(url)
        # More than one @, as in a password that is not encoded, would be split elsewhere.
        is_whole = parts.port is None or parts.port > 0
        if parts.scheme in POSTGRESQL and is_whole and parts.netloc.count("@") <= 1:
            return parts
    except ValueError:  # of the port, or of brackets
        parts = None
    found = f"the scheme {parts.scheme!r}" if parts and parts.scheme else "something else"
    raise MetastoreError(
        f"{source}: expected postgresql://user:password@host:5432/database, with special "
        f"characters of the password percent-encoded (@ is %40), but found {found} (not shown "
        f"here). For SQLite unset {DATABASE_VARIABLE}: the file is then in {HOME_VARIABLE}."
    )


def shown_database(url: str) -> str:
    """Return host, port and name of a database's URL, without user and password.

    >>> shown_database("postgresql://me:secret@db.example:5433/aiqc")
    'db.example:5433/aiqc'
    """
    parts = parsed_database_url(url, DATABASE_VARIABLE)
    place = parts.netloc.rpartition("@")[2] or "localhost"
    has_port = ":" in place.rpartition("]")[2]
    return f"{place if has_port else f'{place}:5432'}{parts.path}"


def shown_store() -> str:
    """Return where the metastore is, for people: a file, or a database without its password."""
    url = database_url()
    return str(database_path()) if url is None else f"PostgreSQL at {shown_database(url)}"


def samples_path() -> Path:
    """Return the folder of preprocessed samples, which may be deleted at any time.

    It is in `$AIQC_CACHE`, else beside the store.
    """
    return (given_folder(CACHE_VARIABLE) or home() / "cache") / "samples"


def make_samples_folder() -> None:
    """Make the folder of the cache; errors as `make_folder`."""
    is_at_home = given_folder(CACHE_VARIABLE) is None
    make_folder(samples_path(), HOME_VARIABLE if is_at_home else CACHE_VARIABLE)


def artifacts_url() -> str | None:
    """Return the fsspec URL of the object store, `$AIQC_ARTIFACTS`; None where it is not set.

    The path of a `file://` URL is expanded as in `given_folder`; errors as `expanded`.
    """
    url = os.environ.get(ARTIFACTS_VARIABLE, "").strip()
    scheme, mark, place = url.partition("://")
    if mark and scheme in LOCAL_SCHEMES and place.strip("/"):
        url = f"{scheme}://{expanded(place, ARTIFACTS_VARIABLE)}"
        if url != os.environ[ARTIFACTS_VARIABLE]:
            os.environ[ARTIFACTS_VARIABLE] = url
    return url or None


def checkpoint_path(training: str) -> Path:
    """Return the folder that holds the checkpoint of one training while it runs."""
    return home() / "checkpoints" / training


def spill_paths() -> tuple[Path, ...]:
    """Return the folders for trainings that cannot be recorded; the second if the first fails."""
    store = hashlib.sha256(str(home()).encode()).hexdigest()[:16]
    return home() / "spill", Path(tempfile.gettempdir()) / f"aiqc-spill-{store}"


def key_path() -> Path:
    """Return the file of the key that signs what the store pickles."""
    return home() / "store.key"


def given_key() -> bytes | None:
    """Return the key of `$AIQC_STORE_KEY`, for machines that share no file; None if it is not set.

    Raises:
        MetastoreError: it is not 64 hexadecimal digits.
    """
    text = os.environ.get(KEY_VARIABLE, "").strip()
    if not text:
        return None
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise MetastoreError(
            f"{KEY_VARIABLE}: expected {2 * KEY_BYTES} hexadecimal digits, but found {len(text)} "
            "characters (not shown here). Print those of an existing store by: "
            f"python -c \"print(open('{key_path()}', 'rb').read().hex())\"; make a new one by: "
            'python -c "import secrets; print(secrets.token_hex(32))".'
        )
    return key


@contextmanager
def use_home(path: str | Path) -> Generator[Path]:
    """Use another store inside a `with` block, for this process and those it starts."""
    with use_folder(HOME_VARIABLE, path):
        yield home()


@contextmanager
def use_folder(variable: str, path: str | Path) -> Generator[None]:
    """Set a folder inside a `with` block; an empty path leaves it as it is."""
    before = os.environ.get(variable)
    if str(path):
        os.environ[variable] = expanded(str(path), variable)
    try:
        yield
    finally:
        os.environ.pop(variable, None)
        if before is not None:
            os.environ[variable] = before


def lease_seconds() -> float:
    """Return how long a claim of another host lives without a heartbeat: `$AIQC_LEASE_SECONDS`.

    300 by default; the same on all hosts of a store.

    Raises:
        MetastoreError: the variable holds no number of at least 1.
    """
    text = os.environ.get(LEASE_VARIABLE) or str(LEASE_SECONDS)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds < float("inf"):
        raise MetastoreError(
            f"{LEASE_VARIABLE}={text!r}: give seconds, at least 1, or leave it out for "
            f"{LEASE_SECONDS}."
        )
    return seconds


def host_id() -> str:
    """Return the name of this host in claims: `$AIQC_HOST_ID`, else the host's own.

    Hosts with the same name each need one of their own here: only processes of one host compare
    process ids.
    """
    return os.environ.get(HOST_VARIABLE) or socket.gethostname()


def oom_retry() -> bool:
    """Return `$AIQC_OOM_RETRY`: with 1, a Job out of device memory gets a whole device once.

    Raises:
        TrainingError: the variable is neither.
    """
    text = os.environ.get(OOM_RETRY_VARIABLE) or "0"
    if text not in {"0", "1"}:
        raise TrainingError(f"{OOM_RETRY_VARIABLE}={text!r}: give 1 or 0.")
    return text == "1"


def timezone_now() -> datetime:
    """Return the present time with the local zone's offset."""
    return datetime.now().astimezone()
