"""Workers lease device slots: one each, seen alone, free when they are gone, set aside when lost.

The devices are those of `AIQC_DEVICES`, so that no GPU is needed; processes and locks are real.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from places import ROOT

from aiqc_core.devices import devices, leases
from aiqc_core.workers import supervisor
from aiqc_core.workers.pool import WarmPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from aiqc_core.workers.pool import Finished

SEEN = "__import__('os').environ['CUDA_VISIBLE_DEVICES']"
SEEN_A_WHILE = f"__import__('time').sleep(.5) or {SEEN}"
PID = "__import__('os').getpid()"


@pytest.fixture(autouse=True)
def two_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two devices, whose locks are this test's alone."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("AIQC_DEVICES", "cuda:0,cuda:1")
    monkeypatch.delenv("AIQC_DEVICE", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def pool() -> Iterator[WarmPool]:
    with WarmPool(4) as pool:
        yield pool


def collect(pool: WarmPool, count: int | None = None) -> dict[str, Finished]:
    """Wait for all that was submitted, or for so many."""
    finished: dict[str, Finished] = {}
    deadline = time.monotonic() + 20
    while pool.busy and len(finished) != count and time.monotonic() < deadline:
        finished |= {item.key: item for item in pool.wait(0.2)}
    assert not pool.busy or len(finished) == count
    return finished


def values(pool: WarmPool) -> dict[str, object]:
    """Return what all tasks gave."""
    done = collect(pool)
    assert [item.error for item in done.values() if item.error] == []
    return {key: item.value for key, item in done.items()}


def value(pool: WarmPool, expression: str, on: str = "slot") -> object:
    """Evaluate an expression in a worker."""
    pool.submit("expression", "builtins:eval", expression, on=on)  # type: ignore[arg-type]
    return values(pool)["expression"]


def eventually(condition: Callable[[], bool]) -> bool:
    """Look again and again until the condition holds or ten seconds are over."""
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_free(slot: devices.Slot) -> bool:
    """Whether nobody has leased the slot."""
    lease = leases.take(slot)
    if lease is not None:
        lease.close()
    return lease is not None


def test_each_worker_sees_one_device_and_there_are_no_more_workers_than_slots(
    pool: WarmPool,
) -> None:
    for number in range(5):
        pool.submit(str(number), "builtins:eval", f"({SEEN_A_WHILE}, {PID})", on="slot")
    seen = set(values(pool).values())
    assert {device for device, _ in seen} == {"0", "1"}
    assert len(seen) == 2


def test_work_that_needs_no_device_sees_none_and_waits_for_none(pool: WarmPool) -> None:
    for number in range(2):
        pool.submit(f"on {number}", "time:sleep", 60, on="slot")
    pool.submit("off", "builtins:eval", SEEN)
    assert collect(pool, 1)["off"].value == ""
    assert collect(pool, 0) == {}
    for number in range(2):
        pool.cancel(f"on {number}")
    assert {item.error and item.error.kind for item in collect(pool).values()} == {"cancelled"}


def test_several_workers_share_a_device_by_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIQC_SLOTS_PER_DEVICE", "2")
    with WarmPool(4) as pool:
        for number in range(4):
            pool.submit(str(number), "builtins:eval", f"({SEEN_A_WHILE}, {PID})", on="slot")
        seen = sorted(values(pool).values())  # type: ignore[type-var]
    assert [device for device, _ in seen] == ["0", "0", "1", "1"]  # type: ignore[misc]
    assert len({pid for _, pid in seen}) == 4  # type: ignore[misc]


def test_the_variables_are_set_before_anything_is_imported(pool: WarmPool) -> None:
    names = ["CUDA_DEVICE_ORDER", "TF_FORCE_GPU_ALLOW_GROWTH", "AIQC_DEVICE"]
    got = value(pool, f"[__import__('os').environ.get(name) for name in {names}]")
    assert got == ["PCI_BUS_ID", "true", "cuda:0"]
    assert value(pool, "'torch' in __import__('sys').modules") is False


@pytest.mark.parametrize("end", ["__import__('os')._exit(3)", "__import__('os').kill({}, 9)"])
def test_a_slot_is_free_when_its_worker_dies_in_any_way(pool: WarmPool, end: str) -> None:
    first, _ = devices.slots()
    assert value(pool, SEEN) == "0"
    assert not is_free(first)
    pool.submit("dies", "builtins:eval", end.format(PID), on="slot")
    died = collect(pool)["dies"]
    assert died.error is not None
    assert (died.error.kind, died.device) == ("died", "cuda:0")
    assert eventually(lambda: is_free(first))
    assert value(pool, SEEN) == "0"


def test_what_a_worker_starts_does_not_hold_its_slot(pool: WarmPool) -> None:
    first, _ = devices.slots()
    start = "__import__('subprocess').Popen(['sleep', '60'], start_new_session=True).pid"
    sleeper = value(pool, start)
    try:
        pool.close()
        assert is_free(first)
    finally:
        os.kill(int(str(sleeper)), signal.SIGKILL)


def test_a_slot_is_free_when_the_whole_run_is_killed() -> None:
    first, second = devices.slots()
    script = (
        "from aiqc_core.workers.pool import WarmPool\npool = WarmPool(2)\n"
        "for n in '01': pool.submit(n, 'time:sleep', 60, on='slot')\npool.wait(60)\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    try:
        assert eventually(lambda: not is_free(first) and not is_free(second))
    finally:
        run.kill()
        run.wait()
    assert eventually(lambda: is_free(first) and is_free(second))


def test_two_pools_share_out_the_devices_and_the_one_that_waits_says_so(
    pool: WarmPool, caplog: pytest.LogCaptureFixture
) -> None:
    assert value(pool, SEEN) == "0"
    with caplog.at_level(logging.INFO, "aiqc_core"), WarmPool(2) as other:
        for number in range(2):
            other.submit(str(number), "builtins:eval", SEEN_A_WHILE, on="slot")
        assert set(values(other).values()) == {"1"}
    assert "Waiting for a device slot: cuda:0 (process " in caplog.text


def test_a_task_that_waits_for_a_slot_can_be_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    held = [leases.take(slot) for slot in devices.slots()]
    with caplog.at_level(logging.INFO, "aiqc_core"), WarmPool(1) as pool:
        pool.submit("waits", "os:getpid", on="slot")
        assert eventually(lambda: "Waiting for a device slot" in caplog.text)
        pool.cancel("waits")
        error = collect(pool)["waits"].error
    assert error is not None
    assert error.kind == "cancelled"
    for lease in held:
        assert lease is not None
        lease.close()


def test_a_worker_without_work_gives_its_slot_to_who_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIQC_DEVICES", "cuda:0")
    monkeypatch.setattr(supervisor, "_IDLE_SECONDS", 0.3)
    with WarmPool(1) as first, WarmPool(1) as second:
        assert value(first, SEEN) == "0"
        assert value(second, SEEN) == "0"
        assert first.busy == []


def test_a_task_on_a_whole_device_waits_for_all_its_slots(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIQC_SLOTS_PER_DEVICE", "2")
    monkeypatch.setenv("AIQC_DEVICES", "cuda:0")
    clock = "__import__('time').sleep(.4) or (began, __import__('time').monotonic())"
    timed = f"(lambda began: {clock})(__import__('time').monotonic())"
    with WarmPool(2) as pool:
        for number in range(2):
            pool.submit(f"before {number}", "builtins:eval", timed, on="slot")
        pool.submit("whole", "builtins:eval", timed, on="device")
        for number in range(2):
            pool.submit(f"after {number}", "builtins:eval", timed, on="slot")
        spans = values(pool)
    began, ended = spans.pop("whole")  # type: ignore[misc]
    for start, end in spans.values():  # type: ignore[misc]
        assert end < began or start > ended
    assert len(spans) == 4


LOSE = (
    "__import__('aiqc_core.devices.faults').devices.faults.note_lost('it fell off') "
    f"if {SEEN} == '0' else __import__('time').sleep(.3)"
)


def test_a_lost_device_is_set_aside_and_the_others_go_on(
    pool: WarmPool, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(2):
        pool.submit(f"first {number}", "builtins:eval", LOSE, on="slot")
    assert len(values(pool)) == 2
    assert pool.device_slots == 1
    assert "cuda:0 is set aside for the rest of this run; 1 device slots are left" in caplog.text
    for number in range(3):
        pool.submit(f"then {number}", "builtins:eval", SEEN, on="slot")
    assert set(values(pool).values()) == {"1"}


def test_when_no_device_is_left_the_error_says_so(
    pool: WarmPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        pool.submit(str(number), "builtins:eval", LOSE.replace("== '0'", "!= ''"), on="slot")
    pool.submit("late", "os:getpid", on="slot")
    error = collect(pool)["late"].error
    assert error is not None
    assert error.kind == "device_lost"
    assert error.message.startswith("No device is left to train on. cuda:")
    assert "it fell off" in error.message
    assert "AIQC_DEVICES=cpu" in error.message
    pool.submit("off", "builtins:eval", SEEN)
    assert values(pool) == {"off": ""}


def test_a_worker_that_a_fault_has_spoilt_is_replaced_and_keeps_its_device(pool: WarmPool) -> None:
    spoil = "__import__('aiqc_core.devices.faults').devices.faults.note_spoilt()"
    before = value(pool, PID)
    assert value(pool, spoil) is None
    assert value(pool, f"({SEEN}, {PID} != {before})") == ("0", True)
    assert pool.device_slots == 2


def test_without_devices_nothing_is_locked_and_all_is_as_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AIQC_DEVICES", "cpu")
    with WarmPool(2) as pool:
        pool.submit("one", "builtins:eval", SEEN, on="slot")
        pool.submit("two", "builtins:eval", SEEN, on="device")
        assert values(pool) == {"one": "", "two": ""}
    assert list(tmp_path.iterdir()) == []
