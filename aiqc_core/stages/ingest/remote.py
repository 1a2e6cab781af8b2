"""Fetch urls over http(s) within limits of time and size."""

from __future__ import annotations

import http.client
import io
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from urllib import error as urllib_error
from urllib import request
from urllib.parse import urlsplit

from aiqc_core.errors import IngestError
from aiqc_core.stages.ingest.paths import WEB_SCHEMES
from aiqc_core.stages.ingest.selection import repeated

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

TIMEOUT_SECONDS = 30.0
MAX_BYTES = 2**28
RETRIES = 2
CONNECTIONS = 8
PAUSE_SECONDS = 0.2  # before the first retry; doubled before each further one
CHUNK_BYTES = 2**16
SERVER_FAULT = 500
HEADERS = {"User-Agent": "aiqc"}


class _FetchError(Exception):
    """A failed attempt; `is_passing` if another may succeed."""

    def __init__(self, fault: str, *, is_passing: bool) -> None:
        super().__init__(fault)
        self.is_passing = is_passing


def fetch_each(
    urls: Sequence[str] | str,
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
    max_bytes: int = MAX_BYTES,
    retries: int = RETRIES,
) -> list[tuple[str, bytes, str]]:
    """Fetch urls; return for each, in order, a name for messages, the body, and the fault if any.

    Args:
        urls: http or https, each once.
        timeout_seconds: for an attempt as a whole, from the connection to the last byte.
        max_bytes: the most that one url may give.
        retries: further attempts after a 5xx, a time-out or a broken connection.

    Raises:
        IngestError: urls that cannot be requested, or limits out of range.
    """
    asked: list[Any] = [urls] if isinstance(urls, str) else list(urls)
    faults = [f"urls[{i}]: {fault}" for i, url in enumerate(asked) if (fault := _url_fault(url))]
    faults = faults or [f"given twice: {url}" for url in repeated(asked)]
    if not asked or faults:
        raise IngestError("\n  ".join(["urls: give at least one http(s) url, each once", *faults]))
    if timeout_seconds <= 0 or max_bytes < 1 or retries < 0:
        raise IngestError(
            f"timeout_seconds={timeout_seconds}, max_bytes={max_bytes}, retries={retries}: give "
            "a time above 0, a size of at least 1 and no fewer than 0 retries."
        )
    attempt = partial(_attempt, timeout_seconds=timeout_seconds, max_bytes=max_bytes)
    with ThreadPoolExecutor(max_workers=min(CONNECTIONS, len(asked))) as pool:
        numbered = [f"urls[{position}] {url}" for position, url in enumerate(asked)]
        return list(pool.map(partial(_fetch, attempt, retries), numbered, asked))


def _fetch(
    attempt: Callable[[str], bytes], retries: int, name: str, url: str
) -> tuple[str, bytes, str]:
    fault = ""
    for tried in range(retries + 1):
        if tried:
            time.sleep(PAUSE_SECONDS * 2 ** (tried - 1))
        try:
            return name, attempt(url), ""
        except _FetchError as error:
            fault = str(error) if not tried else f"{error} (asked {tried + 1} times)"
            if not error.is_passing:
                break
    return name, b"", fault


def _attempt(url: str, *, timeout_seconds: float, max_bytes: int) -> bytes:
    asked = request.Request(url, headers=HEADERS)  # noqa: S310 # its scheme has been checked
    late = f"no full answer within {timeout_seconds:g} s"
    try:
        opener = request.OpenerDirector()  # knows http(s) only and ends each hop by the deadline
        for handler in (
            request.ProxyHandler(),
            _DeadlineHandler(time.monotonic() + timeout_seconds),
            request.HTTPDefaultErrorHandler(),
            request.HTTPErrorProcessor(),
            _WebOnlyRedirects(),
        ):
            opener.add_handler(handler)
        with opener.open(asked, timeout=timeout_seconds) as response:
            return _body(response, max_bytes)
    except urllib_error.HTTPError as error:
        error.close()
        fault = f"status {error.code} {error.reason}"
        raise _FetchError(fault, is_passing=error.code >= SERVER_FAULT) from error
    except TimeoutError as error:
        raise _FetchError(late, is_passing=True) from error
    except urllib_error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise _FetchError(late, is_passing=True) from error
        raise _FetchError(f"no connection: {error.reason}", is_passing=False) from error
    except (http.client.HTTPException, OSError) as error:
        raise _FetchError(f"broken connection: {error!r}", is_passing=True) from error


def _body(response: http.client.HTTPResponse, max_bytes: int) -> bytes:
    content_type = response.headers.get_content_type()
    if content_type == "text/html":
        fault = f"status {response.status}, but a web page ({content_type}), no file"
        raise _FetchError(fault, is_passing=False)
    announced = response.length
    too_large = f"more than max_bytes={max_bytes} bytes"
    if announced is not None and announced > max_bytes:
        raise _FetchError(f"{announced} bytes, {too_large}", is_passing=False)
    data = bytearray()
    while chunk := response.read1(CHUNK_BYTES):
        data += chunk
        if len(data) > max_bytes:
            raise _FetchError(too_large, is_passing=False)
    if announced is not None and len(data) < announced:
        raise _FetchError(f"cut short: {len(data)} of {announced} bytes came", is_passing=True)
    return bytes(data)


class _WebOnlyRedirects(request.HTTPRedirectHandler):
    """Follow redirects to http(s) only; urllib itself would also follow them to ftp."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> request.Request | None:
        if urlsplit(newurl).scheme not in WEB_SCHEMES:
            fault = f"status {code}, a redirect to another scheme than http(s)"
            raise _FetchError(fault, is_passing=False)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _url_fault(url: object) -> str | None:
    if not isinstance(url, str):
        return f"{url!r} is no text"
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        return f"{url!r} is no url: {error}"
    if parts.username is not None:
        return "it holds a user name or password, which would be stored; give it without"
    if parts.scheme not in WEB_SCHEMES or not has_host:
        return f"{url!r} is no http(s) url"
    if not url.isascii() or any(letter.isspace() or not letter.isprintable() for letter in url):
        return f"{url!r} holds blanks or letters beyond ASCII; quote them (urllib.parse.quote)"
    return None


class _DeadlineHandler(request.HTTPHandler, request.HTTPSHandler):
    """Opens http(s) requests that raise TimeoutError after a deadline of `time.monotonic`.

    A socket's own time limit starts again with every byte, so a slow server could hold a request
    for ever. Here each wait is limited to what is left of the whole time.
    """

    def __init__(self, deadline: float) -> None:
        super().__init__()
        self._deadline = deadline

    def http_open(self, req: request.Request) -> http.client.HTTPResponse:
        return self.do_open(cast("Any", partial(_Connection, deadline=self._deadline)), req)

    def https_open(self, req: request.Request) -> http.client.HTTPResponse:
        return self.do_open(cast("Any", partial(_SecureConnection, deadline=self._deadline)), req)


def _left(deadline: float) -> float:
    """Return the seconds that are left; raise TimeoutError where none are."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class _Connection(http.client.HTTPConnection):
    def __init__(self, host: str, *, deadline: float, **options: Any) -> None:
        super().__init__(host, **options)
        self._deadline = deadline
        self.response_class = cast("Any", partial(_Response, deadline=deadline))

    def connect(self) -> None:
        self.timeout = _left(self._deadline)
        super().connect()


class _SecureConnection(_Connection, http.client.HTTPSConnection):
    """The same over https."""


class _Response(http.client.HTTPResponse):
    """A response that reads status, headers and body through `_Stream`."""

    def __init__(self, sock: socket.socket, *, deadline: float, **options: Any) -> None:
        super().__init__(sock, **options)
        self.fp.close()
        self.fp = io.BufferedReader(_Stream(sock, deadline))


class _Stream(io.RawIOBase):
    """The bytes of a socket; each wait for more is limited by what is left of the time."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._socket, self._deadline = sock, deadline
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._socket.settimeout(_left(self._deadline))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()
