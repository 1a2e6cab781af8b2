"""Who looks on while a model trains: a line a second in the log, and the pruner."""

from __future__ import annotations

import itertools
import logging
import time
from typing import Any

import numpy as np
import pytest

from aiqc_core.errors import TrainingError
from aiqc_core.stages.train.hooks import observer
from aiqc_core.stages.train.hooks.observer import Observer


def test_at_most_one_line_a_second_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(50.0, 0.25)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    watched, history = Observer("q1_f0_ab12_r0"), {"loss": [], "val_loss": []}
    with caplog.at_level(logging.INFO):
        for epoch in range(12):
            history["loss"].append(1 / (epoch + 1))
            history["val_loss"].append(0.5)
            assert watched.epoch(history) is False
    assert [record.message for record in caplog.records] == [
        "q1_f0_ab12_r0: epoch 4: loss 0.25, val_loss 0.5",
        "q1_f0_ab12_r0: epoch 8: loss 0.125, val_loss 0.5",
        "q1_f0_ab12_r0: epoch 12: loss 0.0833333, val_loss 0.5",
    ]


def test_the_pruner_stops_and_is_asked_no_more() -> None:
    asked: list[int] = []

    def pruner(history: Any, rivals: Any) -> Any:
        asked.append(len(history["loss"]))
        return np.bool_(history["loss"][-1] > rivals[0]["loss"][len(history["loss"]) - 1])

    watched = Observer("job", pruner, [{"loss": [0.9, 0.5, 0.1]}])
    assert watched.epoch({"loss": [0.8]}) is False
    assert watched.epoch({"loss": [0.8, 0.7]}) is True
    assert watched.pruned
    assert watched.epoch({"loss": [0.8, 0.7, 0.0]}) is True
    assert asked == [1, 2]


def test_a_pruner_cannot_change_what_is_recorded() -> None:
    def pruner(history: Any, rivals: Any) -> bool:
        history["loss"].clear()
        rivals[0].clear()
        return False

    history, rivals = {"loss": [0.8]}, [{"loss": [0.9]}]
    Observer("job", pruner, rivals).epoch(history)
    assert (history, rivals) == ({"loss": [0.8]}, [{"loss": [0.9]}])


def test_another_answer_than_yes_or_no_is_refused() -> None:
    with pytest.raises(TrainingError, match="pruner: returned None; return True to stop"):
        Observer("job", lambda *_: None).epoch({"loss": [1.0]})


def test_it_is_active_inside_of_its_block_alone() -> None:
    watched = Observer("job")
    with observer.opened(watched):
        assert observer.active() is watched
    assert observer.active() is None
