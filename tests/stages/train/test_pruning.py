"""Pruners: what will not win is stopped, after an epoch or after a fold."""

from __future__ import annotations

import math
import pickle
import statistics
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiqc_core.errors import TrainingError
from aiqc_core.stages.train.search import pruning
from aiqc_core.stages.train.search.pruning import MedianPruner

LOSSES = st.lists(st.floats(0, 10), min_size=1, max_size=6)


@given(LOSSES, st.lists(LOSSES, max_size=6), st.integers(1, 4), st.integers(1, 4))
def test_the_best_so_far_is_compared_with_the_median_of_the_rivals_bests(
    losses: list[float], others: list[list[float]], min_epochs: int, min_rivals: int
) -> None:
    epochs = len(losses)
    bests = [min(other[:epochs]) for other in others if len(other) >= epochs]
    judged = epochs >= min_epochs and len(bests) >= min_rivals
    expected = not judged or min(losses) <= statistics.median(bests)
    pruner = MedianPruner(min_epochs, min_rivals)
    assert pruner.keep({"val_loss": losses}, [{"val_loss": o} for o in others]) is expected
    higher = MedianPruner(min_epochs, min_rivals, metric="val_accuracy")
    mirrored = [{"val_accuracy": [-loss for loss in other]} for other in others]
    assert higher.keep({"val_accuracy": [-loss for loss in losses]}, mirrored) is expected


def test_the_loss_is_watched_where_nothing_is_evaluated() -> None:
    pruner = MedianPruner(min_epochs=1, min_rivals=1)
    assert not pruner.keep({"loss": [2.0], "val_loss": []}, [{"loss": [1.0]}])
    assert pruner.keep({"loss": [2.0], "val_loss": [0.5]}, [{"loss": [1.0], "val_loss": [0.6]}])
    with pytest.raises(TrainingError, match=r"no 'val_auc'; choose among \['loss'\]"):
        MedianPruner(metric="val_auc").keep({"loss": [1.0]}, [])


def test_what_diverges_is_stopped_even_without_rivals() -> None:
    pruner = MedianPruner(min_epochs=2)
    assert pruner.keep({"loss": [math.nan]}, [])
    assert not pruner.keep({"loss": [0.1, math.nan]}, [])


def test_a_rival_that_diverged_counts_as_the_worst() -> None:
    pruner = MedianPruner(min_epochs=1, min_rivals=3)
    rivals = [{"loss": [math.nan]}, {"loss": [math.inf]}, {"loss": [0.1]}]
    assert pruner.keep({"loss": [5.0]}, rivals)


@pytest.mark.parametrize(
    ("scores", "rivals", "kept"),
    [
        ([0.5], [[0.9], [0.9]], True),  # too few rivals
        ([0.5], [[0.9], [0.5], [0.1]], True),  # as good as the median
        ([0.4], [[0.9], [0.5], [0.1]], False),
        ([0.9, 0.4], [[0.9, 0.9], [0.1, 0.5], [0.1, 0.1]], False),  # the last mean counts
        ([math.nan], [[0.9], [0.5], [0.1]], False),
        ([0.4], [[math.nan], [math.nan], [0.5]], True),
    ],
)
def test_folds_go_on_while_the_mean_is_not_below_the_median(
    scores: list[float], rivals: list[list[float]], kept: object
) -> None:
    assert MedianPruner().keep_folds(scores, rivals) is kept


@pytest.mark.parametrize("options", [{"min_epochs": 0}, {"min_rivals": 1.5}, {"min_rivals": True}])
def test_counts_must_be_counts(options: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match="whole number of at least 1"):
        MedianPruner(**options)


def test_a_captured_pruner_says_when_to_stop() -> None:
    stops = pickle.loads(  # noqa: S301 - written in this line
        pruning.capture(MedianPruner(min_epochs=1, min_rivals=1))
    )
    assert stops({"loss": [2.0]}, [{"loss": [1.0]}])
    assert not stops({"loss": [0.5]}, [{"loss": [1.0]}])


class Vague:
    """A pruner that answers what is neither yes nor no."""

    held: object = None

    def keep(self, *_: Any) -> Any:
        """Shrug."""
        return

    def keep_folds(self, *_: Any) -> Any:
        """Hesitate."""
        return 0.5


def test_an_answer_that_is_neither_yes_nor_no_is_refused() -> None:
    with pytest.raises(TrainingError, match="keep returned None; return True to go on"):
        pruning.Stops(Vague())({}, [])
    with pytest.raises(TrainingError, match=r"keep_folds returned 0\.5"):
        pruning.keeps_folds(Vague(), [0.1], [])


@pytest.mark.parametrize("given_", ["median", MedianPruner, lambda *_: True])
def test_what_is_no_pruner_is_refused(given_: Any) -> None:
    with pytest.raises(TrainingError, match=r"pruner: .*keep_folds.*MedianPruner\(\)"):
        pruning.capture(given_)


def test_a_pruner_that_cannot_be_pickled_is_refused() -> None:
    pruner = Vague()
    pruner.held = threading.Lock()
    with pytest.raises(TrainingError, match="cannot be pickled"):
        pruning.capture(pruner)
