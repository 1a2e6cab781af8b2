"""Stores of each kind: a SQLite file, and a database of a real PostgreSQL server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from services import PostgresServer, use_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KINDS = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Run one server for all tests of this process."""
    server = PostgresServer()
    try:
        yield server
    finally:
        server.remove()


@pytest.fixture
def database_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Give the test an empty database; the metastore does not lie there yet."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture
def postgres(home: Path, postgres_server: PostgresServer) -> Iterator[str]:
    """Lay the metastore into a database without rows; returns its URL."""
    with postgres_server.database(like=postgres_server.prepared()) as url, use_database(url):
        yield url


@pytest.fixture
def server(postgres_server: PostgresServer, postgres: str) -> Iterator[PostgresServer]:
    """Give the server under the metastore to a test that stops it."""
    try:
        yield postgres_server
    finally:
        postgres_server.start()


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, home: Path) -> str:
    """Lay the metastore into an empty store of each kind; returns which."""
    if request.param == "postgresql":
        request.getfixturevalue("postgres")
    return request.param
