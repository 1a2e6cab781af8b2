"""Celery workers of a test's own: processes that log to files and end with the test."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import services_redis
from celery import Celery
from places import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services_redis import Redis

QUEUES = ("default", "gpu")
START_SECONDS = 90.0
TAKEN = re.compile(r"step (\S+) taken from the queue (\S+) by")


@dataclass
class Worker:
    """A worker of one queue, which can be killed and started again."""

    queue: str
    folder: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def node(self) -> str:
        """Return the name by which other processes ask for it."""
        return f"{self.queue}@{socket.gethostname()}"

    @property
    def log(self) -> Path:
        """Return its log."""
        return self.folder / f"worker-{self.queue}.log"

    def start(self) -> None:
        """Start it; it listens a few seconds later."""
        command = [
            Path(sys.executable).with_name("celery"),
            "-A",
            "aiqc_dagster.executors.celery.app",
        ]
        options = ["-Q", self.queue, "-n", f"{self.queue}@%h", "--concurrency", "1", "-l", "INFO"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "worker", *options],
                cwd=ROOT, env=self.environment, stdout=log, stderr=log,
            )  # fmt: skip

    def kill(self) -> None:
        """End it and its child at once, as a machine that loses power would."""
        if self.process is not None:
            self.process.kill()  # its child asks the kernel to be killed with it
            self.process.wait()
            self.process = None

    def taken(self) -> list[str]:
        """Return the keys of the steps that it took, in order."""
        return [key for key, _ in TAKEN.findall(self.log.read_text())]


@dataclass
class Farm:
    """A Redis and a worker of each queue."""

    redis: Redis
    environment: dict[str, str]
    workers: dict[str, Worker] = field(default_factory=dict)

    def wait(self) -> None:
        """Wait until every worker listens."""
        names = {worker.node for worker in self.workers.values()}
        deadline = time.monotonic() + START_SECONDS
        answered: set[str] = set()
        while not names <= answered:
            assert time.monotonic() < deadline, f"only {answered} listen"
            with (
                Celery(broker=self.redis.url, set_as_current=False) as app,
                app.connection_for_write() as connection,  # not the pool's, of an earlier Redis
            ):
                inspect = app.control.inspect(list(names), timeout=1, connection=connection)
                answered = set(inspect.ping() or {})


@contextmanager
def farming(folder: Path, environment: dict[str, str]) -> Iterator[Farm]:
    """Run a Redis and two workers for the length of a `with` block.

    Args:
        folder: for logs and Redis.
        environment: what workers and runs share, beside the present one.
    """
    with services_redis.serving(folder) as redis:
        shared = {**os.environ, **environment, "AIQC_EXECUTOR": "celery"}
        shared |= {"AIQC_CELERY_BROKER": redis.url, "TF_CPP_MIN_LOG_LEVEL": "2"}
        farm = Farm(redis, shared)
        farm.workers = {queue: Worker(queue, folder, shared) for queue in QUEUES}
        try:
            for worker in farm.workers.values():
                worker.start()
            farm.wait()
            yield farm
        finally:
            for worker in farm.workers.values():
                worker.kill()
