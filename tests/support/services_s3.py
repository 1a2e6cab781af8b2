"""A server that speaks S3 (moto's) as a process of its own, and a line to it that breaks."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from aiqc_core.storage import objects

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS = 60.0
BUCKET = "aiqc-tests"
SECRET = "not-to-be-shown"  # noqa: S105 - moto takes any
LOCALHOST = "127.0.0.1"
_led_to: list[str] = []


class S3Server:
    """A server that keeps its objects in memory, for as long as its process runs."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """Return its address."""
        return f"http://{LOCALHOST}:{self.port}"

    def start(self) -> None:
        """Start it, wait until it answers, and make the bucket."""
        command = [sys.executable, "-m", "moto.server", "-H", LOCALHOST, "-p", str(self.port)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + START_SECONDS
        while not self.made_bucket():
            assert self.process.poll() is None, "moto's server ended at once"
            assert time.monotonic() < deadline, "moto's server does not answer"
            time.sleep(0.05)

    def made_bucket(self) -> bool:
        """Make the bucket, if it answers."""
        asked = http.client.HTTPConnection(LOCALHOST, self.port, timeout=5)
        with suppress(OSError, http.client.HTTPException), closing(asked):
            asked.request("PUT", f"/{BUCKET}")
            return asked.getresponse().status == http.HTTPStatus.OK
        return False

    def kill(self) -> None:
        """End it as a crash would; its objects are gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Line:
    """A port that leads to another one, until it is cut."""

    def __init__(self, port: int) -> None:
        self.port, self._target = free_port(), port
        self._listener: socket.socket | None = None
        self._ends: list[socket.socket] = []
        self._count = 0
        self.cut_after: int | None = None

    @property
    def endpoint(self) -> str:
        """Return its address."""
        return f"http://{LOCALHOST}:{self.port}"

    def mend(self) -> None:
        """Take connections."""
        self.cut_after, self._count = None, 0
        self._listener = socket.create_server((LOCALHOST, self.port))
        threading.Thread(target=self._take, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """Break every connection and take no others."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for it
            self._listener.close()
            self._listener = None
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends.clear()

    def _take(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
                far = socket.create_connection((LOCALHOST, self._target))
            except OSError:
                return
            self._ends += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(2**16):
                if data.startswith(b"PUT "):
                    self._count += 1
                    if self.cut_after is not None and self._count > self.cut_after:
                        self.cut()
                        return
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def free_port() -> int:
    """Return a port of this machine that nothing listens to."""
    with socket.socket() as probe:
        probe.bind((LOCALHOST, 0))
        return probe.getsockname()[1]


@contextmanager
def serving() -> Iterator[S3Server]:
    """Run a server for the length of a `with` block."""
    server = S3Server(free_port())
    try:
        server.start()
        yield server
    finally:
        server.kill()


def settings(endpoint: str) -> dict[str, str]:
    """Return the environment that leads s3fs to a server."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def lead_to(endpoint: str) -> None:
    """Have this process open its file systems again, where they led elsewhere.

    fsspec keeps them by their arguments, which do not tell the server.
    """
    s3fs: Any = sys.modules.get("s3fs")
    if s3fs is not None and _led_to[-1:] != [endpoint]:
        s3fs.S3FileSystem.clear_instance_cache()
        objects._opened.cache_clear()
    _led_to[:] = [endpoint]
