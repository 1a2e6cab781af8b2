"""Send http(s) requests that end by a deadline, however slowly their bytes come.

A socket's own time limit starts again with every byte, so a slow server could hold a request for
ever. Here each wait is limited to what is left of the whole time.
"""

from __future__ import annotations

import http.client
import io
import time
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from urllib import request

if TYPE_CHECKING:
    import socket


class DeadlineHandler(request.HTTPHandler, request.HTTPSHandler):
    """Opens http(s) requests that raise TimeoutError after a deadline of `time.monotonic`."""

    def __init__(self, deadline: float) -> None:
        super().__init__()
        self._deadline = deadline

    def http_open(self, req: request.Request) -> http.client.HTTPResponse:
        """Open a request over http."""
        return self.do_open(cast("Any", partial(_Connection, deadline=self._deadline)), req)

    def https_open(self, req: request.Request) -> http.client.HTTPResponse:
        """Open a request over https."""
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
