"""Callbacks of `utils.pytorch.fit`, called at the end of an epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from aiqc_core.stages.train.hooks import cutoff

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Callback(Protocol):
    """Is asked at the end of every epoch whether to stop.

    It must keep no state of its own: a resumed training asks a new one.
    """

    def epoch(self, history: Mapping[str, list[float]]) -> bool:
        """Return True to stop the training here; `history` holds a value an epoch up to now."""
        ...


class TrainingCallback:
    """The callbacks of `fit(..., callbacks=[...])`, named as their twins for Keras."""

    class MetricCutoff:
        """Stop a training when all thresholds hold at the end of an epoch.

        Args:
            thresholds: dicts `{metric, cutoff, above_or_below}`: `above` holds from the cutoff
                up, `below` from it down; `metric` is a name in the history, such as `val_loss`
                or `val_BinaryAccuracy`.

        Raises:
            ValueError: impossible thresholds; after the first epoch, an unknown metric.
        """

        def __init__(self, thresholds: Sequence[Mapping[str, Any]]) -> None:
            self.thresholds = cutoff.thresholds(thresholds)

        def epoch(self, history: Mapping[str, list[float]]) -> bool:
            """Say whether all thresholds hold for the latest epoch."""
            return cutoff.all_hold(self.thresholds, {name: v[-1] for name, v in history.items()})
