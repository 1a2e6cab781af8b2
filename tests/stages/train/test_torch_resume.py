"""A training of `fit` that was killed goes on from its checkpoint as if it had not been."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

from aiqc_core.stages.train.hooks import checkpoint, observer
from aiqc_core.utils.pytorch import fit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

EPOCHS = 6


class KillAfter:
    """Ends the process at an epoch, as it were."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def epoch(self, history: Mapping[str, list[float]]) -> bool:
        """Raise what Ctrl-C raises."""
        if len(history["loss"]) == self.epochs:
            raise KeyboardInterrupt
        return False


class Noisy(nn.Module):
    """Draws from every generator there is, and keeps running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add noise in train mode."""
        if not self.training:
            return self.inner(x)
        noise = random.random() + np.random.random()  # noqa: NPY002 - the one that is restored
        return self.inner(x) + noise


def training(*callbacks: Any, rows: int = 30) -> tuple[Any, ...]:
    for generator in (random.seed, np.random.seed, torch.manual_seed):
        generator(5)
    x = torch.randn(rows, 2)
    model = Noisy()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    history, _ = fit(
        model, nn.MSELoss(), optimizer, x, x[:, :1], x[:9], x[:9, :1],
        epochs=EPOCHS, batch_size=7, callbacks=callbacks,
    )  # fmt: skip
    return history, model, optimizer, torch.rand(2), random.random(), np.random.random()  # noqa: NPY002


def assert_equal(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    assert one[0] == other[0]
    for mine, theirs in zip(one[1:3], other[1:3], strict=True):
        torch.testing.assert_close(mine.state_dict(), theirs.state_dict(), rtol=0, atol=0)
    assert torch.equal(one[3], other[3])
    assert one[4:] == other[4:]


@pytest.mark.parametrize("killed_after", [1, 4, EPOCHS])
def test_a_resumed_training_is_bit_for_bit_the_uninterrupted_one(
    tmp_path: Path, killed_after: int
) -> None:
    expected = training()
    with (
        checkpoint.opened(checkpoint.Checkpoint(tmp_path, 0)),
        pytest.raises(KeyboardInterrupt),
    ):
        training(KillAfter(killed_after))
    with checkpoint.opened(checkpoint.Checkpoint(tmp_path, None)):
        assert_equal(training(), expected)


def test_a_resumed_training_trains_only_the_epochs_that_are_left(tmp_path: Path) -> None:
    class Count:
        def __init__(self) -> None:
            self.lengths: list[int] = []

        def epoch(self, history: Mapping[str, list[float]]) -> bool:
            self.lengths.append(len(history["loss"]))
            return False

    with (
        checkpoint.opened(checkpoint.Checkpoint(tmp_path, 0)),
        pytest.raises(KeyboardInterrupt),
    ):
        training(KillAfter(5))  # the state after the fourth is the last that was written
    count = Count()
    with checkpoint.opened(checkpoint.Checkpoint(tmp_path, 0)):
        training(count)
    assert count.lengths == [5, 6]


def test_the_state_of_another_training_is_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with checkpoint.opened(checkpoint.Checkpoint(tmp_path, 0)):
        training(rows=40)
    with checkpoint.opened(checkpoint.Checkpoint(tmp_path, 0)):
        assert_equal(training(), training())
    assert "of another training" in caplog.text


def test_nothing_is_written_where_no_checkpoint_is_due(tmp_path: Path) -> None:
    with checkpoint.opened(checkpoint.Checkpoint(tmp_path / "kept", 3600)):
        training()
    assert not (tmp_path / "kept").exists()


def test_the_pruner_sees_every_epoch_and_stops_the_training() -> None:
    heard: list[int] = []

    def pruner(history: dict[str, list[float]], rivals: Any) -> bool:
        heard.append(len(history["val_loss"]))
        return len(heard) == 3

    looking_on = observer.Observer("job", pruner)
    with observer.opened(looking_on):
        history = training()[0]
    assert heard == [1, 2, 3]
    assert len(history["loss"]) == 3
    assert looking_on.pruned
