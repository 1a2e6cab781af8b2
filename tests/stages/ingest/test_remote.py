from __future__ import annotations

import io
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from aiqc_core.errors import IngestError
from aiqc_core.stages.ingest import images, remote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def png(value: int) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(np.full((8, 8), value, np.uint8)).save(sink, "png")
    return sink.getvalue()


def fetch_urls(urls: list[str] | str, **limits: float) -> list[bytes]:
    fetched = remote.fetch_each(urls, **limits)  # type: ignore[arg-type]
    faults = [f"{name}: {fault}" for name, _, fault in fetched if fault]
    if faults:
        raise IngestError("\n".join(faults))
    return [body for _, body, _ in fetched]


class Answers(BaseHTTPRequestHandler):
    """Answers by path: `/<manner>/<number>`, the number being the value of an image's pixels."""

    asked: Counter[str]

    def do_GET(self) -> None:
        """Answer in the manner asked for."""
        self.asked[self.path] += 1
        manner, value = self.path.strip("/").split("/")
        MANNERS[manner](self, png(int(value)))

    def reply(self, status: int, body: bytes, **headers: object) -> None:
        """Send an image's headers, or others, and a body."""
        fields = {"Content_Type": "image/png", "Content_Length": len(body)} | headers
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def is_stopped_within(self, seconds: float) -> bool:
        """Wait, but not longer than the test runs."""
        return self.server.stopping.wait(seconds)  # type: ignore[attr-defined]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # http.server's name
        """Keep the test's output clean."""


def drip(answers: Answers, body: bytes) -> None:
    answers.reply(200, b"", Content_Length=1000)
    while not answers.is_stopped_within(0.1):
        answers.wfile.write(b"x")


def drip_headers(answers: Answers, body: bytes) -> None:
    answers.wfile.write(b"HTTP/1.0 200 OK\r\nX-Slow: ")
    while not answers.is_stopped_within(0.1):
        answers.wfile.write(b"x")


def drip_redirects(answers: Answers, body: bytes) -> None:
    answers.is_stopped_within(0.2)
    answers.reply(302, b"", Location=f"/around/{answers.asked.total()}")


def endless(answers: Answers, body: bytes) -> None:
    answers.send_response(200)  # HTTP/1.0 lets a body end with the connection
    answers.end_headers()
    answers.wfile.write(bytes(100_000))


MANNERS: dict[str, Callable[[Answers, bytes], object]] = {
    "image": lambda answers, body: answers.reply(200, body),
    "missing": lambda answers, _: answers.reply(404, b""),
    "page": lambda answers, _: answers.reply(200, b"<p>", Content_Type="text/html; charset=utf-8"),
    "broken": lambda answers, _: answers.reply(500, b""),
    "flaky": lambda answers, body: answers.reply(
        500 if answers.asked[answers.path] < 2 else 200, body
    ),
    "half": lambda answers, body: answers.reply(200, body[: len(body) // 2]),
    "cut": lambda answers, body: answers.reply(
        200, body[: len(body) // 2], Content_Length=len(body)
    ),
    "silence": lambda answers, _: answers.is_stopped_within(5),
    "drip": drip,
    "headers": drip_headers,
    "around": drip_redirects,
    "endless": endless,
    "ftp": lambda answers, _: answers.reply(302, b"", Location="ftp://localhost/a.png"),
    "file": lambda answers, _: answers.reply(302, b"", Location="file:///a.png"),
    "moved": lambda answers, _: answers.reply(301, b"", Location="/image/9"),
}


class Server(ThreadingHTTPServer):
    """A real server on the loopback, reported when to stop."""

    daemon_threads = False
    stopping: threading.Event

    def handle_error(self, request: object, client_address: object) -> None:
        """Bear with clients that hang up, as the limits make them do."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(remote, "PAUSE_SECONDS", 0.01)
    handler = type("Handler", (Answers,), {"asked": Counter()})
    with Server(("127.0.0.1", 0), handler) as running:
        running.stopping = threading.Event()
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.stopping.set()
        running.shutdown()
        thread.join()


def test_bodies_come_in_the_order_of_the_urls(server: str) -> None:
    urls = [f"{server}/image/{value}" for value in (9, 1, 5, 3)]
    assert fetch_urls(urls) == [png(value) for value in (9, 1, 5, 3)]
    assert fetch_urls(urls[0]) == [png(9)]


def test_one_error_lists_every_url_that_failed_and_no_other(server: str) -> None:  # B37
    urls = [f"{server}/{path}" for path in ("image/1", "missing/2", "page/3", "flaky/4")]
    with pytest.raises(IngestError, match="2 of 4") as error:
        images.from_urls(urls)
    assert str(error.value).splitlines()[1:] == [
        f"  urls[1] {urls[1]}: status 404 Not Found",
        f"  urls[2] {urls[2]}: status 200, but a web page (text/html), no file",
    ]


def test_images_behind_urls_keep_their_order(server: str) -> None:
    array, source_format = images.from_urls([f"{server}/image/{value}" for value in (7, 2)])
    assert array[:, 0, 0, 0].tolist() == [7, 2]
    assert source_format == "png"


def test_an_image_that_ends_early_is_listed_beside_what_failed_on_the_way(server: str) -> None:
    urls = [f"{server}/{path}" for path in ("half/1", "missing/2", "image/3")]
    with pytest.raises(IngestError, match=r"2 of 3(.|\n)*404(.|\n)*urls\[0\].*half/1: "):
        images.from_urls(urls)


def test_a_server_that_recovers_is_asked_again(server: str) -> None:
    assert fetch_urls([f"{server}/flaky/4"]) == [png(4)]
    with pytest.raises(IngestError, match="status 500"):
        fetch_urls([f"{server}/flaky/5"], retries=0)
    with pytest.raises(IngestError, match=r"status 500 .*asked 3 times"):
        fetch_urls([f"{server}/broken/1"])


def test_a_body_shorter_than_announced_is_no_body(server: str) -> None:
    whole = len(png(1))
    with pytest.raises(IngestError, match=rf"cut short: {whole // 2} of {whole} bytes.*2 times"):
        fetch_urls([f"{server}/cut/1"], retries=1)


@pytest.mark.parametrize("manner", ["silence", "drip", "headers", "around"])
def test_a_slow_server_is_given_up_on(server: str, manner: str) -> None:
    started = time.monotonic()
    with pytest.raises(IngestError, match=r"no full answer within 0\.3 s"):
        fetch_urls([f"{server}/{manner}/1"], timeout_seconds=0.3, retries=0)
    assert time.monotonic() - started < 3


def test_a_large_body_is_not_read_to_its_end(server: str) -> None:
    with pytest.raises(IngestError, match=rf"{len(png(1))} bytes, more than max_bytes=10 bytes"):
        fetch_urls([f"{server}/image/1"], max_bytes=10)
    with pytest.raises(IngestError, match="more than max_bytes=1000 bytes"):
        fetch_urls([f"{server}/endless/1"], max_bytes=1000)


def test_redirects_are_followed_over_http_alone(server: str) -> None:
    assert fetch_urls([f"{server}/moved/1"]) == [png(9)]
    with pytest.raises(IngestError, match=r"urls\[0\].*302(.|\n)*urls\[1\].*302"):
        fetch_urls([f"{server}/ftp/1", f"{server}/file/1"])


def test_nobody_listening_is_reported(server: str) -> None:
    with pytest.raises(IngestError, match="no connection"):
        fetch_urls(["http://127.0.0.1:1/a.png"])


@pytest.mark.parametrize(
    ("urls", "message"),
    [
        ([], "at least one"),
        ([None], r"urls\[0\]: None is no text"),
        (["ftp://h/a", "file:///a", "a.png", "http://"], r"urls\[3\]: 'http://' is no http"),
        (["http://h/a", "http://h/a"], "given twice: http://h/a"),
        (["http://h:x/a"], "is no url"),
        (["http://h/a b"], "holds blanks"),
    ],
)
def test_urls_that_cannot_be_asked_are_refused_at_once(urls: list[str], message: str) -> None:
    with pytest.raises(IngestError, match=message):
        fetch_urls(urls)


def test_a_password_in_a_url_is_not_repeated() -> None:
    with pytest.raises(IngestError, match="holds a user name or password") as error:
        fetch_urls(["https://me:secret@h/a"])
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("limit", [{"timeout_seconds": 0}, {"max_bytes": 0}, {"retries": -1}])
def test_limits_that_are_none_are_refused(limit: dict[str, int]) -> None:
    with pytest.raises(IngestError, match="no fewer than 0 retries"):
        fetch_urls("http://127.0.0.1/a", **limit)
