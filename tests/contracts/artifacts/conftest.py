"""Object stores of each kind: a folder, this process's memory, a real server that speaks S3."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

import pytest
import services_s3
from services_s3 import BUCKET, Line, S3Server

from aiqc_core.storage import objects

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aiqc_core.storage.objects import ObjectStore

KINDS = ("file", "memory", "s3")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """Run one server for all tests of this process."""
    with services_s3.serving() as server:
        yield server


@pytest.fixture
def s3(request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Lead this process and its children to an empty prefix of the server; returns its URL."""
    server: S3Server = request.getfixturevalue("s3_server")
    return _led(server.endpoint, monkeypatch)


@pytest.fixture
def line(s3_server: S3Server, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    """Lead this process and its children to the server over a line that can be cut."""
    line = Line(s3_server.port)
    line.mend()
    try:
        _led(line.endpoint, monkeypatch)
        yield line
    finally:
        line.cut()


@pytest.fixture(params=KINDS)
def artifacts(
    request: pytest.FixtureRequest, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Set AIQC_ARTIFACTS to an empty place of each kind; returns its URL."""
    if request.param == "s3":
        return request.getfixturevalue("s3")
    place = tmp_path / "objects" if request.param == "file" else f"/{uuid.uuid4().hex}"
    url = f"{request.param}://{place}"
    monkeypatch.setenv("AIQC_ARTIFACTS", url)
    return url


@pytest.fixture
def store(artifacts: str) -> ObjectStore:
    """Return the store that AIQC_ARTIFACTS names."""
    found = objects.configured()
    assert found is not None
    return found


def _led(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"s3://{BUCKET}/{uuid.uuid4().hex}"
    for name in [name for name in os.environ if name.startswith(("AWS_", "FSSPEC_"))]:
        monkeypatch.delenv(name)
    for name, value in services_s3.settings(endpoint).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AIQC_ARTIFACTS", url)
    services_s3.lead_to(endpoint)
    return url
