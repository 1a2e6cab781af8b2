"""Requests over http(s) that end by a moment, however slowly their bytes come.

A socket's own time limit starts anew with every byte, so that a server that drips could hold a
request for ever. Here each wait may last no longer than what is left of the whole.
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


def handlers(deadline: float) -> tuple[request.HTTPHandler, request.HTTPSHandler]:
    """Return handlers for urllib whose requests raise TimeoutError when the time is up.

    Args:
        deadline: on the clock of `time.monotonic`.
    """
    return _Handler(deadline), _SecureHandler(deadline)


def _left(deadline: float) -> float:
    """Return the seconds that are left.

    Raises:
        TimeoutError: none are.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class _Handler(request.HTTPHandler):
    def __init__(self, deadline: float) -> None:
        super().__init__()
        self._connection: Any = partial(_Connection, deadline=deadline)

    def http_open(self, req: request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connection, req)


class _SecureHandler(request.HTTPSHandler):
    def __init__(self, deadline: float) -> None:
        super().__init__()
        self._connection: Any = partial(_SecureConnection, deadline=deadline)

    def https_open(self, req: request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connection, req)


class _Connection(http.client.HTTPConnection):
    def __init__(self, host: str, *, deadline: float, **options: Any) -> None:
        super().__init__(host, **options)
        self._deadline = deadline
        self.response_class = cast("Any", partial(_Response, deadline=deadline))

    def connect(self) -> None:
        self.timeout = _left(self._deadline)
        super().connect()


class _SecureConnection(http.client.HTTPSConnection):
    def __init__(self, host: str, *, deadline: float, **options: Any) -> None:
        super().__init__(host, **options)
        self._deadline = deadline
        self.response_class = cast("Any", partial(_Response, deadline=deadline))

    def connect(self) -> None:
        self.timeout = _left(self._deadline)
        super().connect()


class _Response(http.client.HTTPResponse):
    """A response whose status, headers and body are read through `_Stream`."""

    def __init__(self, sock: socket.socket, *, deadline: float, **options: Any) -> None:
        super().__init__(sock, **options)
        self.fp.close()
        self.fp = io.BufferedReader(_Stream(sock, deadline))


class _Stream(io.RawIOBase):
    """The bytes of a socket, each wait for more limited by what is left of the time."""

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
