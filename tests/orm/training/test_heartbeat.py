"""Claims of processes that cannot be seen from here live by their heartbeat, and never twice."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import lines
import pytest
from places import ROOT

from aiqc_core import config
from aiqc_core.errors import MetastoreError
from aiqc_core.orm import Attempt, Predictor, metastore
from aiqc_core.orm.store import heartbeat, process_identity
from aiqc_core.orm.tables.job import heart
from aiqc_core.orm.training.record import record
from aiqc_core.orm.training.spec import spec_of
from aiqc_core.stages.train import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aiqc_core.orm import Job

ALONE: dict[str, Any] = {"cut": {"fold_count": None}}


def eventually(condition: Callable[[], bool], seconds: float = 60) -> bool:
    """Look again and again until the condition holds or the time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def job() -> Job:
    return lines.queue({"weight": [1]}, **ALONE).jobs[0]


def claimed_elsewhere(of: Job, beat: int | None, **owner: Any) -> Attempt:
    """Claim a Job, and let it look as a process of another host did so."""
    attempt = of.claim(0)
    heart.drop(attempt.id)
    attempt.owner = attempt.owner | {"host": "elsewhere"} | owner
    attempt.beat = beat
    attempt.save()
    return attempt


def test_a_claim_of_another_host_lives_by_its_heartbeat(home: Path) -> None:
    row = job()
    attempt = claimed_elsewhere(row, heartbeat.now() - 200)
    assert attempt.is_alive()
    assert row.claim(0) is None
    attempt.beat = heartbeat.now() - 400
    attempt.save()
    assert row.claim(0) is not None
    lost = Attempt.get_by_id(attempt.id)
    assert lost.status == "lost"
    assert lost.reason == (
        f"its process {os.getpid()} on elsewhere gave no sign of life for 300 s"
    )


def test_how_long_a_claim_lives_is_a_setting(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = job()
    claimed_elsewhere(row, heartbeat.now() - 400)
    monkeypatch.setenv("AIQC_LEASE_SECONDS", "600")
    assert row.claim(0) is None
    for wrong in ("soon", "0", "nan", "inf"):
        monkeypatch.setenv("AIQC_LEASE_SECONDS", wrong)
        with pytest.raises(MetastoreError, match=f"AIQC_LEASE_SECONDS='{wrong}': give seconds"):
            assert config.settings.lease_seconds


def test_a_claim_that_knows_no_heartbeat_counts_from_when_it_was_made(home: Path) -> None:
    """As one of version 2 of the store."""
    row = job()
    attempt = claimed_elsewhere(row, None)
    assert attempt.is_alive()
    attempt.time_created = attempt.time_created.fromtimestamp(time.time() - 400).astimezone()
    assert not attempt.is_alive()


def test_processes_of_another_container_are_not_taken_for_dead(home: Path) -> None:
    """They share this machine's name and boot, not its process ids."""
    owner = process_identity.this_process()
    assert process_identity.is_visible(owner)
    if owner["pids"] is not None:
        assert not process_identity.is_visible(owner | {"pids": "pid:[1]"})
    row = job()
    attempt = claimed_elsewhere(row, heartbeat.now(), host=owner["host"], pids="x", pid=2**22 + 1)
    assert attempt.is_alive()


def test_hosts_of_equal_names_are_distinguished_by_setting(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = process_identity.this_process()
    monkeypatch.setenv("AIQC_HOST_ID", "second")
    assert not process_identity.is_visible(owner)
    assert process_identity.this_process()["host"] == "second"


def test_a_process_beats_for_all_its_claims_with_one_statement(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIQC_LEASE_SECONDS", "1")
    row = lines.queue({"weight": [1, 2, 3]}, **ALONE)
    attempts = [each.claim(0) for each in row.jobs]
    old = heartbeat.now() - 100
    Attempt.update(beat=old).execute()
    with caplog.at_level("DEBUG", "peewee"):
        assert eventually(lambda: all(a.beat > old for a in Attempt.select()))
        beats = [record for record in caplog.records if "UPDATE" in str(record.msg)]
    assert len(beats) < len(attempts)
    for attempt in attempts:
        attempt.release("the end of the test")


def test_no_store_is_made_again_by_a_heartbeat(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIQC_LEASE_SECONDS", "1")
    attempt = job().claim(0)
    metastore.close()
    shutil.rmtree(home)
    assert not eventually(home.exists, seconds=0.6)
    heart.drop(attempt.id)


def test_a_holder_whose_claim_was_taken_over_records_nothing(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither its model, nor its failure over what the other one did."""
    row = job()
    slow = claimed_elsewhere(row, heartbeat.now() - 400)
    outcome = run.run(spec_of(row, 0))
    quick = row.claim(0)
    assert record(row, slow, outcome) is None
    assert Predictor.select().count() == 0
    recorded = record(row, quick, outcome)
    assert record(row, slow, outcome) == recorded
    assert not slow.finish("failed", "too late")
    assert [attempt.status for attempt in Attempt.select()] == ["lost", "succeeded"]
    assert Predictor.select().count() == 1
    assert "its claim was taken over" in caplog.text


def fn_train(
    model: Any, loser: Any, optimizer: Any, train_features: Any, train_label: Any,
    eval_features: Any, eval_label: Any, **hp: Any,
) -> Any:  # fmt: skip
    """Tell that it began; on host a, wait until the file says that it may go on."""
    import os
    import time
    from pathlib import Path

    folder = Path(hp["folder"])
    if os.environ.get("AIQC_HOST_ID") == "a":
        (folder / "began").touch()
        while not (folder / "go").exists():
            time.sleep(0.02)
    return {"loss": [0.0]}, model


@pytest.mark.slow
def test_a_holder_that_sleeps_past_its_lease_does_not_record_twice(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGSTOP as a suspended virtual machine; another host takes over; SIGCONT."""
    monkeypatch.setenv("AIQC_LEASE_SECONDS", "3")
    monkeypatch.setenv("AIQC_HOST_ID", "b")
    queue = lines.queue({"weight": [1], "folder": [str(tmp_path)]}, train=fn_train, **ALONE)
    queue.splitset.cache_samples()
    script = (
        f"from aiqc_core.orm import Queue; Queue.get_by_id({queue.id}).run_jobs(progress=False)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "AIQC_HOST_ID": "a", "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert eventually((tmp_path / "began").exists)
        (first,) = Attempt.select()
        assert eventually(lambda: Attempt.get_by_id(first.id).beat > first.beat)
        assert queue.run_jobs(progress=False).trained == 0  # it is alive, and left alone
        holder.send_signal(signal.SIGSTOP)
        assert eventually(lambda: queue.run_jobs(progress=False).trained == 1)
        (tmp_path / "go").touch()
        holder.send_signal(signal.SIGCONT)
        _, reported = holder.communicate(timeout=60)
    finally:
        holder.kill()
        holder.wait()
    assert holder.returncode == 0, reported
    assert "its claim was taken over" in reported
    assert [(a.owner["host"], a.status) for a in Attempt.select()] == [
        ("a", "lost"),
        ("b", "succeeded"),
    ]
    assert Predictor.select().count() == 1
