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
from typing import TYPE_CHECKING, Annotated, Any, ClassVar
from urllib.parse import SplitResult, urlsplit

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from aiqc_core.errors import MetastoreError, SettingError

if TYPE_CHECKING:
    from collections.abc import Generator

HOME_VARIABLE = "AIQC_HOME"
CACHE_VARIABLE = "AIQC_CACHE"
ARTIFACTS_VARIABLE = "AIQC_ARTIFACTS"
DATABASE_VARIABLE = "AIQC_DATABASE_URL"
KEY_VARIABLE = "AIQC_STORE_KEY"
KEY_BYTES = 32
# Between processes of ours; no settings.
SLOT_VARIABLE = "AIQC_LEASE"  # to a worker: the open files that hold its device slot
OWN_VARIABLE = "AIQC_DEVICE"  # in a process that trains: the device that it was given
PARENT_VARIABLE = "AIQC_PARENT_KERAS_BACKEND"  # to a worker: that of the process that started it


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
        if (
            parts.scheme in {"postgresql", "postgres"}
            and is_whole
            and parts.netloc.count("@") <= 1
        ):
            return parts
    except ValueError:  # of the port, or of brackets
        parts = None
    found = f"the scheme {parts.scheme!r}" if parts and parts.scheme else "something else"
    raise SettingError(
        f"{source}: expected postgresql://user:password@host:5432/database, with special "
        f"characters of the password percent-encoded (@ is %40), but found {found} (not shown "
        f"here). For SQLite unset {DATABASE_VARIABLE}: the file is then in {HOME_VARIABLE}."
    )


def _folder(given: str) -> Path:
    """Return an absolute path without `~` and `$NAME`, or raise ValueError."""
    if os.path.lexists(given) and not given.startswith("~"):  # a name that holds a $
        return Path(given).absolute()
    text = os.path.expanduser(os.path.expandvars(given))  # noqa: PTH111 - Path's raises its own error
    if fault := _fault(given, text):
        message = f"{fault}. Give the path of a folder in full."
        raise ValueError(message)
    return Path(text).absolute()


def _objects(text: str) -> str:
    scheme, mark, place = text.partition("://")
    if mark and scheme in {"file", "local"} and place.strip("/"):
        return f"{scheme}://{_folder(place)}"
    return text


def _database(url: str) -> str:
    parsed_database_url(url, DATABASE_VARIABLE)
    return url


def _key(text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise SettingError(
            f"{KEY_VARIABLE}: expected {2 * KEY_BYTES} hexadecimal digits, but found {len(text)} "
            "characters (not shown here). Print those of an existing store by: "
            f"python -c \"print(open('{key_path()}', 'rb').read().hex())\"; make a new one by: "
            'python -c "import secrets; print(secrets.token_hex(32))".'
        )
    return key


Folder = Annotated[Path, BeforeValidator(_folder)]


class Settings(BaseSettings):
    """Each setting is a variable of the environment, read whenever the field is asked for.

    Its title says what to give, with the unit. Blanks around a text are no part of it, and a
    blank text counts as none. A folder, also that of a `file://` URL, may hold `~` and `$NAME`;
    a relative one is below the working directory of its first use, as the variable is made
    absolute then for this process and those that it starts.

    Raises:
        SettingError: the text of the field's variable is malformed; the message names it.
    """

    model_config = SettingsConfigDict(
        env_prefix="AIQC_", env_ignore_empty=True, validate_assignment=True, validate_default=False
    )
    blank_counts: ClassVar[frozenset[str]] = frozenset()  # fields that a blank text is a value of

    home: Folder = Field(
        Path(".aiqc"), title="folder", description="Metastore, its key, checkpoints, predictions."
    )
    cache: Folder | None = Field(
        None, title="folder", description="Preprocessed samples; `cache` in AIQC_HOME by default."
    )
    artifacts: Annotated[str, BeforeValidator(_objects)] | None = Field(
        None, title="URL, s3://bucket/prefix",
        description="Object store of data, models and copies of samples; else the metastore.",
    )  # fmt: skip
    database_url: Annotated[str, BeforeValidator(_database)] | None = Field(
        None, repr=False, title="postgresql://user:password@host:5432/database",
        description="The metastore on PostgreSQL; else a SQLite file in AIQC_HOME.",
    )  # fmt: skip
    store_key: Annotated[bytes, BeforeValidator(_key)] | None = Field(
        None, repr=False, title="64 hexadecimal digits",
        description="Key that signs what is pickled, where machines share no AIQC_HOME.",
    )  # fmt: skip
    lease_seconds: float = Field(
        300, ge=1, allow_inf_nan=False, title="seconds, at least 1",
        description="How long a claim of another host lives without a heartbeat; equal on all.",
    )  # fmt: skip
    host_id: str = Field(
        default_factory=socket.gethostname, title="name",
        description="This host in claims; hosts of equal names each need one of their own.",
    )  # fmt: skip
    oom_retry: Annotated[bool, BeforeValidator({"0": False, "1": True}.get)] = Field(
        default=False, title="1 or 0",
        description="1 trains a Job that ran out of device memory once more, on a whole device.",
    )  # fmt: skip
    devices: str = Field(
        "auto", title="auto, cpu, mps, or a list such as cuda:0,cuda:1",
        description="Devices that train; auto means all of NVIDIA's driver, numbered as there.",
    )  # fmt: skip
    slots_per_device: int = Field(
        1, ge=1, title="a whole number from 1", description="How many trainings share a device."
    )
    gpus_per_job: int = Field(
        1, ge=0, title="a whole number from 0",
        description="Devices that a training asks for; 0 leases none and hides all.",
    )  # fmt: skip
    keras_home: Folder | None = Field(
        None, validation_alias="KERAS_HOME", title="folder",
        description="Settings and downloads of Keras; `keras` in AIQC_HOME by default.",
    )  # fmt: skip
    dagster_home: Folder | None = Field(
        None, validation_alias="DAGSTER_HOME", title="folder",
        description="Runs, events and dagster.yaml of Dagster; no records are kept without it.",
    )  # fmt: skip

    def __getattribute__(self, name: str) -> Any:
        """Return the present value of a field; any other attribute as it is."""
        variable = variables(type(self)).get(name)
        given = None if variable is None else os.environ.get(variable)
        text = (given or "").strip()
        if variable is None or given is None or not (text or name in type(self).blank_counts):
            return super().__getattribute__(name)
        known, value = _read.get(variable, (None, None))
        if text != known:  # the home is asked for at each statement
            value = _validated(type(self), name, text)
            if isinstance(value, str | Path) and str(value) != text:  # a folder, now absolute
                text = os.environ[variable] = str(value)
            _read[variable] = (text, value)
        return value


def _validated(kind: type[Settings], name: str, text: str) -> Any:
    one, field = kind.model_construct(), kind.model_fields[name]
    try:
        setattr(one, name, text)
    except ValidationError as error:
        if (reason := error.errors()[0].get("ctx", {}).get("error")) is None:
            default = "" if field.default is None else f" for {field.default:g}"
            reason = f"give {field.title}, or leave it out{default}."
        raise SettingError(f"{variables(kind)[name]}={text!r}: {reason}") from error
    return one.__dict__[name]


@functools.cache
def variables(kind: type[Settings]) -> dict[str, str]:
    """Return the variable of each field."""
    return {
        name: str(field.validation_alias or f"AIQC_{name.upper()}")
        for name, field in kind.model_fields.items()
    }


settings = Settings.model_construct()
_read: dict[str, tuple[str, Any]] = {}  # by variable: the text that was validated, and its value


def home() -> Path:
    """Return the folder of the store, which its first write makes."""
    return settings.home.absolute()


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
    url = settings.database_url
    return str(database_path()) if url is None else f"PostgreSQL at {shown_database(url)}"


def samples_path() -> Path:
    """Return the folder of preprocessed samples, which may be deleted at any time.

    It is in `$AIQC_CACHE`, else beside the store.
    """
    return (settings.cache or home() / "cache") / "samples"


def make_samples_folder() -> None:
    """Make the folder of the cache; errors as `make_folder`."""
    is_at_home = settings.cache is None
    make_folder(samples_path(), HOME_VARIABLE if is_at_home else CACHE_VARIABLE)


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


@contextmanager
def use_home(path: str | Path) -> Generator[Path]:
    """Use another store inside a `with` block, for this process and those it starts.

    An empty path leaves the store as it is.
    """
    before = os.environ.get(HOME_VARIABLE)
    if str(path):
        os.environ[HOME_VARIABLE] = str(path)
    try:
        yield home()
    finally:
        os.environ.pop(HOME_VARIABLE, None)
        if before is not None:
            os.environ[HOME_VARIABLE] = before


def timezone_now() -> datetime:
    """Return the present time with the local zone's offset."""
    return datetime.now().astimezone()
