"""Sign pickles, and load only those that this store's key has signed.

A pickle can run any code when it is loaded, so each is signed (HMAC-SHA256) with a key beside the
database (or in `AIQC_STORE_KEY`) and never in it. A database from elsewhere opens, lists and
compares; its pickles are not loaded outside `trust()`. The versions of Python and of the libraries
are stored with each pickle and compared at load.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import logging
import os
import pickle
import platform
import secrets
import struct
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from importlib import metadata
from typing import TYPE_CHECKING

from aiqc_core import config
from aiqc_core.errors import MetastoreError, TrustError
from aiqc_core.usercode import byvalue

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

logger = logging.getLogger(__name__)

MAGIC = b"AIQC\x00P\x00\x01"
START = len(MAGIC) + 32 + 4  # of the versions, behind the signature and their length
RECORDED = ("numpy", "pandas", "scikit-learn", "cloudpickle")
_trusted: ContextVar[bool] = ContextVar("trusted", default=False)


@contextmanager
def trust() -> Generator[None]:
    """Load pickles that another store signed, inside a `with` block.

    Do this only if you trust the maker of that store as you would trust their program.
    """
    token = _trusted.set(True)
    try:
        yield
    finally:
        _trusted.reset(token)


class _SameBytesPickler(pickle._Pickler):  # noqa: SLF001 - the C one has no such hook
    """Writes code of the user's by value, and each text in full.

    Which equal texts are one object depends on what was imported.
    """

    def reducer_override(self, obj: object) -> object:
        """Return how functions and classes of the user's are restored."""
        if byvalue.is_own(obj):
            return byvalue.restored, (byvalue.dumps(obj),)
        return NotImplemented

    def memoize(self, obj: object) -> None:
        """Remember an object that may come again, except texts."""
        if type(obj) is not str:
            super().memoize(obj)


def seal(payload: bytes) -> bytes:
    """Sign bytes that will be unpickled later, noting the versions that made them."""
    header = json.dumps(_versions(), sort_keys=True).encode()
    body = struct.pack(">I", len(header)) + header + payload
    return MAGIC + _mac(body, _made_key()) + body


def unseal(data: bytes) -> bytes:
    """Return the payload of `seal`.

    Raises:
        TrustError: the signature is not this store's and `trust()` is not in force.
        MetastoreError: the bytes are no sealed pickle.
    """
    standing_of = standing(data)
    if standing_of == "unsigned":
        message = "metastore: these bytes are no signed pickle; the store is damaged or foreign."
        raise MetastoreError(message)
    if standing_of == "foreign" and not _trusted.get():
        shown = config.KEY_VARIABLE if config.settings.store_key else config.key_path()
        raise TrustError(
            f"metastore: a pickle is not signed by this store's key ({shown}), so it "
            "is not loaded: it could run any code. Machines that share a store share its key too "
            f"({config.KEY_VARIABLE}). If you trust whoever made this store, wrap the call in "
            "`with aiqc_core.orm.trust():`."
        )
    header, payload = _parted(data)
    moved = moved_on(json.loads(header))
    if moved:
        logger.warning("A stored object was made with other versions: %s.", ", ".join(moved))
    return payload


def dumps(value: object) -> bytes:
    """Pickle and sign; equal values give equal bytes in every process."""
    stream = io.BytesIO()
    _SameBytesPickler(stream, protocol=5).dump(value)
    return seal(stream.getvalue())


def loads(data: bytes) -> object:
    """Check the signature, then unpickle.

    Raises:
        TrustError: see `unseal`.
        MetastoreError: it cannot be unpickled: other versions of Python or of a library wrote it.
    """
    payload = unseal(data)  # signed by this store, or trusted by name
    try:
        return byvalue.restored(payload)
    except Exception as error:
        versions = made_with(data)
        text = byvalue.unreadable("metastore: a stored object", versions.get("python"), error)
        moved = moved_on(versions)
        raise MetastoreError(f"{text} Moved since: {', '.join(moved) or 'nothing'}.") from error


def standing(data: bytes) -> str:
    """Return who signed a pickle, without loading it: `'own'`, `'foreign'` or `'unsigned'`."""
    if data[: len(MAGIC)] != MAGIC or len(data) < START:
        return "unsigned"
    mac, known = data[len(MAGIC) : START - 4], key()
    is_own = known and hmac.compare_digest(mac, _mac(data[START - 4 :], known))
    return "own" if is_own else "foreign"


def opens(name: str) -> bool:
    """Return whether this store has the key with this `fingerprint`; make none."""
    known = key()
    return known is not None and hmac.compare_digest(_named(known), name)


def made_with(head: bytes) -> dict[str, str]:
    """Return the versions in the first bytes of a sealed pickle; empty for other bytes."""
    if head[: len(MAGIC)] != MAGIC or len(head) < START:
        return {}
    try:
        versions = json.loads(_parted(head)[0])
    except ValueError:
        return {}
    return {str(k): str(v) for k, v in versions.items()} if isinstance(versions, dict) else {}


def fingerprint() -> str:
    """Return a name of the store's key that does not reveal the key."""
    return _named(_made_key())


@lru_cache(maxsize=1)  # reading them takes longer than all else that signs
def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {n: metadata.version(n) for n in RECORDED}


def moved_on(made_with: dict[str, str]) -> list[str]:
    """Return the libraries with another minor version now than when an object was sealed."""
    return [
        f"{name} {made_with[name]} -> {now}"
        for name, now in _versions().items()
        if name in made_with and made_with[name].split(".")[:2] != now.split(".")[:2]
    ]


def _parted(data: bytes) -> tuple[bytes, bytes]:
    """Return the versions and the payload of a sealed pickle."""
    end = START + struct.unpack(">I", data[START - 4 : START])[0]
    return data[START:end], data[end:]


def _named(key: bytes) -> str:
    return _mac(b"fingerprint", key).hex()[:16]


def _mac(body: bytes, key: bytes) -> bytes:
    return hmac.digest(key, body, hashlib.sha256)


def key() -> bytes | None:
    """Return the store's key; None where nothing was signed yet."""
    try:
        return config.settings.store_key or config.key_path().read_bytes()
    except FileNotFoundError:
        return None


def write_key(path: Path, key: bytes) -> None:
    """Write a key to a new file that only its owner may read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(key)
        stream.flush()
        os.fsync(stream.fileno())


def _made_key() -> bytes:
    """Return the store's key, made when this is the first signature."""
    known = key()
    if known is not None:
        return known
    path = config.key_path()
    config.make_folder(path.parent, config.HOME_VARIABLE)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    write_key(draft, secrets.token_bytes(config.KEY_BYTES))
    try:
        os.link(draft, path)  # fails where another process was first, and its key stands
    except FileExistsError:
        logger.debug("Another process made the key of this store.")
    finally:
        draft.unlink()
    return path.read_bytes()
