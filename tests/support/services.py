"""Servers that tests talk to: real ones, started by the test, ended in every case.

Each is an ordinary process in a folder of its own on a free port; nothing that runs on the machine
already is used or disturbed.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg
from programs import needed

from aiqc_core.config import DATABASE_VARIABLE
from aiqc_core.orm import metastore

if TYPE_CHECKING:
    from collections.abc import Generator

PASSWORD = "s3cr:t/@"  # noqa: S105 - of a server that lives as long as a test; hard to print by chance
USER = "aiqc"
START_SECONDS = 60.0
STOP_SECONDS = 20.0
SETTINGS = {
    "fsync": "off",  # a test's database need not outlive the machine
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "listen_addresses": "127.0.0.1",
    "autovacuum": "off",
    "max_wal_senders": "0",
    "wal_level": "minimal",
}


class PostgresServer:
    """A PostgreSQL server with databases for tests.

    It can be stopped and started again, on the same port and with what it holds.
    """

    def __init__(self) -> None:
        self._programs = needed("postgresql").parent
        self._account = _account()
        self._folder = Path(tempfile.mkdtemp(prefix="aiqc-postgres-"))
        self._process: subprocess.Popen[Any] | None = None
        self._names = count()
        self._prepared = ""
        self.port = free_port()
        atexit.register(self.remove)
        try:
            self._make_cluster()
            self.start()
        except BaseException:
            self.remove()
            raise

    def start(self) -> None:
        """Start it unless it runs, and return when it answers."""
        if self._process is not None:
            return
        settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [
                    self._programs / "postgres", "-D", self._folder / "data",
                    "-p", str(self.port), "-k", self._folder, *settings,
                ],
                stdout=subprocess.DEVNULL,
                stderr=log,
                **self._account,
            )  # fmt: skip
        self._process = process
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
            except psycopg.OperationalError as error:
                if process.poll() is not None or time.monotonic() > end:
                    message = f"PostgreSQL did not start: {error}\n{self.log()}"
                    raise RuntimeError(message) from error
                time.sleep(0.02)
            else:
                return

    def stop(self, *, at_once: bool = False) -> None:
        """End the server; clients find their connections broken.

        Args:
            at_once: as a crash would, without a word to the clients.
        """
        if self._process is None:
            return
        self._process.send_signal(3 if at_once else 2)  # immediate, or fast, shutdown
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def remove(self) -> None:
        """End the server and delete what it holds."""
        self.stop(at_once=True)
        shutil.rmtree(self._folder, ignore_errors=True)
        atexit.unregister(self.remove)

    def url(self, database: str) -> str:
        """Return the URL of a database."""
        return f"postgresql://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/{database}"

    @contextmanager
    def database(self, *, like: str = "template0", options: str = "") -> Generator[str]:
        """Make a database, give its URL, and drop it.

        Args:
            like: the database that it is a copy of; an empty one by default.
            options: what else `CREATE DATABASE` is reported.
        """
        name = f"test_{next(self._names)}"
        self._tell(f'CREATE DATABASE "{name}" TEMPLATE "{like}" {options}')
        try:
            yield self.url(name)
        finally:
            self.start()
            self._tell(f'DROP DATABASE "{name}" WITH (FORCE)')

    def prepared(self) -> str:
        """Return the name of a database with the tables of an empty store, to be copied."""
        if not self._prepared:
            self._prepared = "prepared"
            self._tell(f'CREATE DATABASE "{self._prepared}" TEMPLATE template0')
            with use_database(self.url(self._prepared)):
                metastore.connection()
        return self._prepared

    def log(self) -> str:
        """Return what the server has said."""
        path = self._folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _tell(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as admin:
            admin.execute(statement.encode())

    def _make_cluster(self) -> None:
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        if self._account:
            for path in (self._folder, secret):
                shutil.chown(path, self._account["user"], self._account["group"])
        subprocess.run(
            [
                self._programs / "initdb", "-D", self._folder / "data", "--no-sync",
                "--encoding=UTF8", "--locale=C.UTF-8", f"--username={USER}",
                "--auth=scram-sha-256", f"--pwfile={secret}",
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            **self._account,
        )  # fmt: skip


@contextmanager
def use_database(url: str | None) -> Generator[None]:
    """Lay the metastore at a database, or in AIQC_HOME's file, for this process and its children.

    The environment itself is set, not by `monkeypatch`: a test may undo that in between.
    """
    before = os.environ.pop(DATABASE_VARIABLE, None)
    if url is not None:
        os.environ[DATABASE_VARIABLE] = url
    try:
        yield
    finally:
        metastore.close()
        os.environ.pop(DATABASE_VARIABLE, None)
        if before is not None:
            os.environ[DATABASE_VARIABLE] = before


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _account() -> dict[str, Any]:
    """Return as whom the server runs: it refuses to be root."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    entry = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
