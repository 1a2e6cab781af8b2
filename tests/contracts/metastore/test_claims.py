"""Claims and heartbeats do the same on SQLite and on PostgreSQL."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import lines

from aiqc_core.orm import Attempt
from aiqc_core.orm.store import heartbeat
from aiqc_core.orm.tables.job import heart

if TYPE_CHECKING:
    import pytest

ALONE: dict[str, Any] = {"cut": {"fold_count": None}}


def test_the_time_is_the_databases(store: str) -> None:
    assert abs(heartbeat.now() - time.time()) < 60


def test_a_silent_claim_of_another_host_is_void_after_its_lease(store: str) -> None:
    job = lines.queue({"weight": [1]}, **ALONE).jobs[0]
    first = job.claim(0)
    heart.drop(first.id)
    first.owner = first.owner | {"host": "elsewhere"}
    first.save()
    assert job.claim(0) is None
    Attempt.update(beat=heartbeat.now() - 400).execute()
    second = job.claim(0)
    assert second is not None
    assert not first.finish("failed", "too late")
    assert second.finish("succeeded", device={"device": "cpu"})
    rows = Attempt.select().order_by(Attempt.id)
    assert [(row.status, row.device) for row in rows] == [
        ("lost", None),
        ("succeeded", {"device": "cpu"}),
    ]


def test_a_heartbeat_reaches_the_store(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIQC_LEASE_SECONDS", "1")
    attempt = lines.queue({"weight": [1]}, **ALONE).jobs[0].claim(0)
    Attempt.update(beat=1).execute()
    deadline = time.monotonic() + 30
    while Attempt.get_by_id(attempt.id).beat == 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert Attempt.get_by_id(attempt.id).beat > 1
    attempt.release("the end of the test")
