"""A pool of warm processes keeps its promises, whatever its tasks and its parent do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from places import ROOT

from aiqc_core.errors import TrainingError
from aiqc_core.workers import handle
from aiqc_core.workers.pool import Finished, RemoteError, WarmPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def pool() -> Iterator[WarmPool]:
    with WarmPool(2) as pool:
        yield pool


def collect(pool: WarmPool, seconds: float = 20) -> dict[str, Finished]:
    """Wait for all that was submitted."""
    finished: dict[str, Finished] = {}
    deadline = time.monotonic() + seconds
    while pool.busy and time.monotonic() < deadline:
        finished |= {item.key: item for item in pool.wait(1)}
    assert not pool.busy
    return finished


def value(pool: WarmPool, expression: str) -> object:
    """Evaluate a Python expression in a worker."""
    pool.submit("expression", "builtins:eval", expression)
    finished = collect(pool)["expression"]
    assert finished.error is None
    return finished.value


def error(pool: WarmPool, target: str, *args: object) -> RemoteError:
    """Run one task that must not give a value."""
    pool.submit("fault", target, *args)
    finished = collect(pool)["fault"]
    assert finished.value is None
    assert finished.error is not None
    return finished.error


def eventually(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Look again and again until the condition holds or the time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def ended(pid: int) -> bool:
    """Whether the process is gone, or a zombie that nobody has reaped yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def read_pid(path: Path) -> int:
    """Wait until a task has written its process id."""
    assert eventually(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


def report_and_sleep(path: Path, before: str = "") -> str:
    """Return a statement that writes the worker's process id, then sleeps for long."""
    return (
        f"import os, pathlib, signal, subprocess, time\n{before}\n"
        f"pathlib.Path({str(path)!r}).write_text(f'{{os.getpid()}}\\n')\ntime.sleep(60)"
    )


def test_each_task_comes_back_once_under_its_key(pool: WarmPool) -> None:
    for number in range(40):
        pool.submit(f"task {number}", "operator:mul", number, 2)
    assert pool.busy == [f"task {number}" for number in range(40)]
    finished = collect(pool)
    assert {key: item.value for key, item in finished.items()} == {
        f"task {number}": number * 2 for number in range(40)
    }
    assert pool.wait(0.1) == []


def test_a_worker_stays_warm_for_the_next_task(pool: WarmPool) -> None:
    pool.submit("first", "builtins:exec", "import sys; sys.warm = True")
    collect(pool)
    assert value(pool, "__import__('sys').warm") is True


def test_tasks_run_side_by_side_up_to_the_size(pool: WarmPool) -> None:
    for number in range(6):
        pool.submit(
            str(number),
            "builtins:eval",
            "__import__('time').sleep(.3) or __import__('os').getpid()",
        )
    pids = {item.value for item in collect(pool).values()}
    assert len(pids) == 2
    assert os.getpid() not in pids


def test_tasks_one_after_another_use_one_worker(pool: WarmPool) -> None:
    assert len({value(pool, "__import__('os').getpid()") for _ in range(5)}) == 1


def test_megabytes_travel_both_ways(pool: WarmPool) -> None:
    for number in range(4):
        pool.submit(str(number), "operator:add", bytes(5_000_000), bytes([number]))
    finished = collect(pool)
    assert all(finished[str(n)].value == bytes(5_000_000) + bytes([n]) for n in range(4))


def test_an_exception_comes_back_with_its_traceback(pool: WarmPool) -> None:
    fault = error(pool, "operator:truediv", 1, 0)
    assert (fault.kind, fault.message) == ("exception", "ZeroDivisionError: division by zero")
    assert "Traceback (most recent call last)" in fault.traceback


@pytest.mark.parametrize("statement", ["raise SystemExit(0)", "raise KeyboardInterrupt"])
def test_a_task_cannot_end_its_worker_by_raising(pool: WarmPool, statement: str) -> None:
    before = value(pool, "__import__('os').getpid()")
    assert error(pool, "builtins:exec", statement).kind == "exception"
    assert value(pool, "__import__('os').getpid()") == before


def test_a_target_that_is_not_there_is_named(pool: WarmPool) -> None:
    assert "absent_module" in error(pool, "absent_module:run").message
    assert "absent_function" in error(pool, "os:absent_function").message


def test_a_result_that_cannot_be_pickled_is_an_error(pool: WarmPool) -> None:
    assert "pickle" in error(pool, "builtins:eval", "lambda: 0").message


def test_a_result_that_cannot_be_read_is_an_error(pool: WarmPool) -> None:
    code = (
        "import sys, types; module = types.ModuleType('absent'); sys.modules['absent'] = module;"
        "exec('class A: pass', module.__dict__)"
    )
    pool.submit("make", "builtins:exec", code)
    collect(pool)
    assert "cannot be read" in error(pool, "builtins:eval", "__import__('absent').A()").message


def test_an_argument_that_cannot_be_pickled_is_refused_at_once(pool: WarmPool) -> None:
    with pytest.raises(Exception, match="pickle"):
        pool.submit("key", "builtins:print", threading.Lock())
    assert pool.busy == []


def test_a_killed_worker_is_reported_and_replaced(pool: WarmPool) -> None:
    before = value(pool, "__import__('os').getpid()")
    pool.submit("neighbour", "time:sleep", 0.5)
    fault = error(pool, "signal:raise_signal", signal.SIGKILL)
    assert fault.kind == "died"
    assert "signal 9 (SIGKILL)" in fault.message
    assert "Perhaps out of memory" in fault.message
    pool.submit("a", "os:getpid")
    pool.submit("b", "os:getpid")
    assert all(item.error is None for item in collect(pool).values())
    assert before is not None


def test_the_neighbour_of_a_killed_worker_goes_on(pool: WarmPool) -> None:
    pool.submit("neighbour", "builtins:eval", "__import__('time').sleep(.6) or 'done'")
    pool.submit("victim", "signal:raise_signal", signal.SIGSEGV)
    finished = collect(pool)
    assert finished["neighbour"].value == "done"
    assert finished["victim"].error is not None
    assert "SIGSEGV" in finished["victim"].error.message


def test_the_exit_code_of_a_worker_is_reported(pool: WarmPool) -> None:
    fault = error(pool, "os:_exit", 3)
    assert (fault.kind, "exit code 3" in fault.message) == ("died", True)


def test_a_worker_that_died_idle_costs_no_task(pool: WarmPool) -> None:
    pid = value(pool, "__import__('os').getpid()")
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)
    assert value(pool, "__import__('os').getpid()") != pid


def test_what_a_dead_worker_had_started_ends_with_it(pool: WarmPool, tmp_path: Path) -> None:
    child = "import os, signal, subprocess; child = subprocess.Popen(['sleep', '60'])\n"
    child += f"open({str(tmp_path / 'pid')!r}, 'w').write(f'{{child.pid}}\\n')\n"
    assert error(pool, "builtins:exec", child + "os.kill(os.getpid(), 9)").kind == "died"
    pid = read_pid(tmp_path / "pid")
    assert eventually(lambda: ended(pid))


def test_a_fork_that_outlives_its_worker_hides_no_death(pool: WarmPool) -> None:
    fork = "if os.fork() == 0:\n    os.setsid(); time.sleep(3); os._exit(0)"
    code = f"import os, time\n{fork}\nos._exit(4)"
    started = time.monotonic()
    assert "exit code 4" in error(pool, "builtins:exec", code).message
    assert time.monotonic() - started < 2.5


def test_a_queued_task_can_be_cancelled(pool: WarmPool, tmp_path: Path) -> None:
    for key in ("first", "second"):
        pool.submit(key, "time:sleep", 0.5)
    pool.submit("third", "os:mkdir", str(tmp_path / "made"))
    pool.cancel("third")
    finished = collect(pool)
    assert finished["third"].error == RemoteError("cancelled", "Cancelled before it started.")
    assert finished["first"].error is None
    assert not (tmp_path / "made").exists()


def test_a_running_task_can_be_cancelled(pool: WarmPool, tmp_path: Path) -> None:
    pool.submit("long", "builtins:exec", report_and_sleep(tmp_path / "pid"))
    pid = read_pid(tmp_path / "pid")
    pool.cancel("long")
    cancelled = collect(pool)["long"].error
    assert cancelled is not None
    assert cancelled.kind == "cancelled"
    assert ended(pid)
    assert value(pool, "1 + 1") == 2


def test_a_task_past_its_time_limit_is_killed_and_spoils_no_other(
    pool: WarmPool, tmp_path: Path
) -> None:
    """B85: also one that ignores signals; its worker is replaced, what it started ends too."""
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN); subprocess.Popen(['sleep', '60'])"
    statement = report_and_sleep(tmp_path / "pid", ignore)
    pool.submit("neighbour", "builtins:eval", "__import__('time').sleep(1) or 'done'")
    pool.submit("endless", "builtins:exec", statement, time_limit=0.5)
    pid = read_pid(tmp_path / "pid")
    child = psutil.Process(pid).children()[0].pid
    finished = collect(pool)
    assert finished["endless"].error == RemoteError(
        "time_limit", "stopped after its time limit of 0.5 s"
    )
    assert finished["neighbour"].value == "done"
    assert ended(pid)
    assert eventually(lambda: ended(child))
    assert value(pool, "1 + 1") == 2


def test_waiting_for_a_worker_does_not_count_as_running(pool: WarmPool) -> None:
    for number in range(4):
        pool.submit(str(number), "time:sleep", 0.5, time_limit=2)
    assert [item.error for item in collect(pool).values()] == [None] * 4


def test_a_task_within_its_time_limit_leaves_none_for_the_next(pool: WarmPool) -> None:
    pool.submit("quick", "os:getpid", time_limit=0.4)
    first = collect(pool)["quick"].value
    pool.submit(
        "slow", "builtins:eval", "__import__('time').sleep(.8) or __import__('os').getpid()"
    )
    assert collect(pool)["slow"].value == first


@pytest.mark.parametrize("limit", [0, -1.0, True, "5", float("nan")])
def test_a_time_limit_that_is_no_positive_number_is_refused(pool: WarmPool, limit: Any) -> None:
    with pytest.raises(TrainingError, match="time_limit: "):
        pool.submit("key", "os:getpid", time_limit=limit)
    assert pool.busy == []


def test_what_a_worker_held_is_reported_also_when_it_died(pool: WarmPool) -> None:
    code = (
        "import os, time; held = bytearray(200 * 2**20); time.sleep(.6); os.kill(os.getpid(), 9)"
    )
    pool.submit("greedy", "builtins:exec", code)
    pool.submit("modest", "time:sleep", 0.5)
    finished = collect(pool)
    greedy, modest = (finished[key].peak_memory_mb for key in ("greedy", "modest"))
    assert greedy is not None
    assert modest is not None
    assert greedy > 200 > modest > 1
    assert finished["greedy"].error is not None
    assert f"seen to hold {greedy:,.0f} MiB" in finished["greedy"].error.message


def test_a_thread_that_a_task_left_keeps_no_worker(pool: WarmPool) -> None:
    """A09: the worker goes on, and ends when it is asked to."""
    code = "import threading, time; threading.Thread(target=time.sleep, args=(60,)).start()"
    pool.submit("leaving", "builtins:exec", code)
    assert collect(pool)["leaving"].error is None
    pid = value(pool, "__import__('os').getpid()")
    assert isinstance(pid, int)
    pool.close()
    assert ended(pid)


def test_what_a_task_prints_or_closes_does_not_disturb(pool: WarmPool) -> None:
    code = "import sys; print('x' * 100_000); sys.stdout.close(); sys.stdout = None"
    pool.submit("printing", "builtins:exec", code)
    assert collect(pool)["printing"].error is None
    assert value(pool, "1 + 1") == 2


def test_a_task_that_ignores_the_request_is_killed(
    pool: WarmPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handle, "_GRACE_SECONDS", 0.3)
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    pool.submit("deaf", "builtins:exec", report_and_sleep(tmp_path / "pid", ignore))
    pid = read_pid(tmp_path / "pid")
    pool.cancel("deaf")
    cancelled = collect(pool)["deaf"].error
    assert cancelled is not None
    assert cancelled.kind == "cancelled"
    assert ended(pid)


def test_cancelling_what_is_over_does_nothing(pool: WarmPool) -> None:
    assert value(pool, "1") == 1
    pool.cancel("expression")
    pool.cancel("never submitted")
    assert value(pool, "2") == 2


def test_closing_ends_workers_in_the_middle_of_a_task(tmp_path: Path) -> None:
    with WarmPool(1) as pool:
        pool.submit("long", "builtins:exec", report_and_sleep(tmp_path / "pid"))
        pool.submit("queued", "os:getpid")
        pid = read_pid(tmp_path / "pid")
    assert ended(pid)
    kinds = {item.key: item.error and item.error.kind for item in pool.wait(0)}
    assert kinds == {"long": "cancelled", "queued": "cancelled"}


def test_closing_is_swift_and_can_be_repeated() -> None:
    pool = WarmPool(2)
    pid = value(pool, "__import__('os').getpid()")
    assert isinstance(pid, int)
    started = time.monotonic()
    pool.close()
    pool.close()
    assert time.monotonic() - started < 1
    assert ended(pid)


def test_a_closed_pool_takes_no_task() -> None:
    pool = WarmPool(1)
    pool.close()
    with pytest.raises(TrainingError, match="after the WarmPool ended"):
        pool.submit("late", "os:getpid")


def test_a_pool_that_nobody_closed_ends_its_workers() -> None:
    pool = WarmPool(1)
    pid = value(pool, "__import__('os').getpid()")
    assert isinstance(pid, int)
    del pool
    assert eventually(lambda: ended(pid))


def test_a_key_in_use_is_refused(pool: WarmPool) -> None:
    pool.submit("same", "os:getpid")
    with pytest.raises(TrainingError, match="'same': a task with this key is not finished"):
        pool.submit("same", "os:getpid")
    assert list(collect(pool)) == ["same"]


@pytest.mark.parametrize("target", ["os.getpid", ":getpid", "os:", "os:path.join"])
def test_a_malformed_target_is_refused(pool: WarmPool, target: str) -> None:
    with pytest.raises(TrainingError, match=r"package\.module:function"):
        pool.submit("key", target)
    assert pool.busy == []


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "2"])
def test_a_size_that_is_no_positive_integer_is_refused(size: object) -> None:
    with pytest.raises(TrainingError, match="size="):
        WarmPool(size)  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match="threads="):
        WarmPool(1, threads=size)  # type: ignore[arg-type]


def test_workers_get_their_environment_before_any_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    names = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"]
    names += ["TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "KERAS_BACKEND", "EXTRA"]
    with WarmPool(1, threads=3, environment={"EXTRA": "yes"}) as pool:
        got = value(pool, f"[__import__('os').environ.get(name) for name in {names}]")
        assert got == ["3"] * 5 + ["tensorflow", "yes"]
        assert value(pool, "__import__('os').environ.get('TF_CPP_MIN_LOG_LEVEL')") is not None


def test_a_worker_imports_nothing_heavy(pool: WarmPool) -> None:
    heavy = {"torch", "tensorflow", "keras", "numpy", "pandas", "peewee", "dagster"}
    assert value(pool, f"sorted({heavy} & set(__import__('sys').modules))") == []


def test_workers_find_the_modules_that_their_parent_finds(
    pool: WarmPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_here.py").write_text("def answer():\n    return 42\n")
    monkeypatch.syspath_prepend(tmp_path)
    pool.submit("found", "only_here:answer")
    assert collect(pool)["found"].value == 42


def test_workers_do_not_hear_the_ctrl_c_of_the_terminal(pool: WarmPool) -> None:
    assert value(pool, "__import__('os').getsid(0)") != os.getsid(0)
    assert value(pool, "__import__('sys').stdin.read()") == ""


def test_workers_that_cannot_start_fail_the_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with WarmPool(2) as pool:
        fault = error(pool, "os:getpid")
    assert fault.kind == "died"
    assert "could not start" in fault.message


def test_a_supervisor_that_broke_is_no_silent_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with WarmPool(1) as pool:
        pool.submit("key", "os:getpid")
        for _ in range(2):
            with pytest.raises(TrainingError, match="supervisor"):
                pool.wait(5)
        pool._supervisor.join()
        with pytest.raises(TrainingError, match="after the WarmPool ended") as late:
            pool.submit("late", "os:getpid")
        assert "/nowhere/python" in str(late.value.__cause__)


SCRIPT = """
from aiqc_core.workers.pool import WarmPool
print("main runs", flush=True)
with WarmPool(2) as pool:
    for number in range(4):
        pool.submit(str(number), "operator:mul", number, number)
    total = 0
    while pool.busy:
        total += sum(item.value for item in pool.wait(10))
print("total", total)
"""


@pytest.mark.parametrize("way", ["script", "command", "stdin"])
def test_a_main_without_a_guard_runs_once(way: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    arguments = {"script": [str(tmp_path / "script.py")], "command": ["-c", SCRIPT], "stdin": []}
    done = subprocess.run(
        [sys.executable, *arguments[way]],
        input=SCRIPT if way == "stdin" else None,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("main runs\ntotal 14\n", "", 0)


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_their_parent_in_the_middle_of_a_task(
    signal_number: int, tmp_path: Path
) -> None:
    script = "from aiqc_core.workers.pool import WarmPool\npool = WarmPool(2)\n"
    for name in ("a", "b"):
        statement = report_and_sleep(tmp_path / name, "subprocess.Popen(['sleep', '60'])")
        script += f"pool.submit({name!r}, 'builtins:exec', {statement!r})\n"
    parent = subprocess.Popen(
        [sys.executable, "-c", script + "pool.wait(60)"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    workers = [psutil.Process(read_pid(tmp_path / name)) for name in ("a", "b")]
    family = [*workers, *(child for worker in workers for child in worker.children())]
    assert len(family) == 4
    parent.send_signal(signal_number)
    parent.wait(10)
    assert eventually(lambda: all(ended(process.pid) for process in family), seconds=3)
