"""The state of a training on disk: found again, never half written, never another loop's."""

from __future__ import annotations

import itertools
import logging
import time
from typing import TYPE_CHECKING, Any

import pytest

from aiqc_core.stages.train.hooks import checkpoint
from aiqc_core.stages.train.hooks.checkpoint import Checkpoint

if TYPE_CHECKING:
    from pathlib import Path


def test_the_next_process_reads_what_was_written_last(tmp_path: Path) -> None:
    kept = Checkpoint(tmp_path / "q1", 0)
    assert kept.read() is None
    for state in (b"first", b"second"):
        kept.write(state)
    assert Checkpoint(tmp_path / "q1", None).read() == b"second"


def test_each_loop_of_a_training_has_a_state_of_its_own(tmp_path: Path) -> None:
    """An fn_train may fit twice: warm up, then fine-tune."""

    def begun(loops: int) -> list[bytes | None]:
        again = Checkpoint(tmp_path, 0)
        return [again.read() for _ in range(loops)]

    kept = Checkpoint(tmp_path, 0)
    kept.read()
    kept.write(b"warm")
    assert begun(2) == [b"warm", None]
    kept.read()
    kept.write(b"fine")
    assert begun(2) == [b"warm", b"fine"]


def test_it_is_due_after_its_seconds_and_never_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(100.0, 4.0)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    kept = Checkpoint(tmp_path, 10)  # at 100
    assert [kept.due() for _ in range(3)] == [False, False, True]  # at 104, 108, 112
    kept.write(b"state")  # at 116
    assert [kept.due() for _ in range(3)] == [False, False, True]
    assert Checkpoint(tmp_path, 0).due()
    assert not Checkpoint(tmp_path, None).due()


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda _: b"", lambda d: d + b"x"])
def test_a_damaged_state_is_reported_and_not_used(
    tmp_path: Path, damage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    Checkpoint(tmp_path, 0).write(b"state")
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert Checkpoint(tmp_path, 0).read() is None
    assert "damaged" in caplog.text


def test_a_disk_that_takes_none_stops_no_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    kept = Checkpoint(tmp_path / "file" / "q1", 0)
    kept.write(b"state")
    assert "No checkpoint could be written" in caplog.text
    assert kept.read() is None


def test_it_is_active_inside_of_its_block_alone(tmp_path: Path) -> None:
    kept = Checkpoint(tmp_path, 0)
    assert checkpoint.active() is None
    with checkpoint.opened(kept):
        assert checkpoint.active() is kept
        with checkpoint.opened(None):
            assert checkpoint.active() is None
    assert checkpoint.active() is None


def test_going_on_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Checkpoint(tmp_path, 0).write(b"state")
    with caplog.at_level(logging.INFO):
        Checkpoint(tmp_path, 0).read()
    assert "goes on from the checkpoint" in caplog.text
