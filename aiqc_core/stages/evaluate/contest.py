"""Compare champion and challenger on the same samples."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.errors import SelectionError
from aiqc_core.stages.evaluate.bootstrap import Units, ends, weights
from aiqc_core.stages.evaluate.checks import FAILED, PASSED, WARNING, Finding
from aiqc_core.stages.evaluate.ranking import lower_is_better, metric_name

if TYPE_CHECKING:
    from aiqc_core.stages.evaluate.metrics import Scorer

LEAST_SAMPLES = 10  # of fewer, an interval says nothing


@dataclass(frozen=True, slots=True)
class Contest:
    """The scores of champion and challenger by a metric on the same samples."""

    metric: str
    samples: int  # how many
    champion: float
    challenger: float
    gain: float  # of the challenger, in the metric's own units; positive is better
    low: float  # of the paired interval of the gain, or NaN
    high: float
    p_value: float  # twice the share of resamples on the less likely side of 0, or NaN
    level: float  # of the interval
    positive: Any = None  # the positive one of two classes, for precision, recall and f1

    @property
    def is_worse(self) -> bool:
        """Whether the challenger is surely worse: the whole interval is below 0."""
        return self.high < 0

    def finding(self) -> Finding:
        """Return the verdict: red when surely worse, amber when undecided."""
        facts = {name: value for name, value in asdict(self).items() if value is not None}
        facts["p"] = facts.pop("p_value")
        if reason := self._why_undecided():
            return Finding(WARNING, reason, facts)
        verdict = "is surely worse" if self.is_worse else "is not surely worse"
        if self.low > 0:
            verdict = "is surely better"
        metric = metric_name(self.metric, self.positive)
        summary = (
            f"The challenger {verdict}: {metric} {self.challenger:.4f} against "
            f"{self.champion:.4f} on {self.samples} samples, a gain of {self.gain:+.4f} "
            f"({self.level:.0%} interval {self.low:+.4f} to {self.high:+.4f})."
        )
        return Finding(FAILED if self.is_worse else PASSED, summary, facts)

    def _why_undecided(self) -> str | None:
        """Return why there is no verdict; None where there is one."""
        scores = {"champion": self.champion, "challenger": self.challenger}
        undefined = [name for name, score in scores.items() if not math.isfinite(score)]
        if self.samples == 0:
            return "The challenger learned from every sample of the champion, so none can judge."
        if undefined:
            both = " and ".join(undefined)
            return f"{self.metric} of the {both} is undefined on these {self.samples} samples."
        if self.samples < LEAST_SAMPLES or not math.isfinite(self.low):
            return f"{self.samples} samples are too few to compare champion and challenger."
        return None


def contest(
    champion: Scorer,
    challenger: Scorer,
    samples: int,
    metric: str,
    *,
    units: Units | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Contest:
    """Compare two models on the same samples by the paired bootstrap.

    Each resample is scored for both; the interval is that of their difference. Arguments and
    source are those of `bootstrap.intervals`, on pairs; samples are drawn by default.

    Raises:
        SelectionError: there is no such metric.
    """
    if not samples:
        nan = math.nan
        return Contest(metric, 0, nan, nan, nan, nan, nan, nan, level)
    whole = np.ones((1, samples))
    scores = [score(whole) for score in (champion, challenger)]
    for score in scores:
        if metric not in score:
            raise SelectionError(f"metric: {metric!r}; a contest has {sorted(score)}.")
    sign = -1.0 if lower_is_better(metric) else 1.0
    ours, theirs = (float(score[metric][0]) for score in scores)
    low = high = p_value = math.nan
    if samples >= LEAST_SAMPLES:
        drawn = weights(units or Units(), samples, resamples, np.random.default_rng(seed))
        gains = sign * (challenger(drawn)[metric] - champion(drawn)[metric])
        defined = gains[np.isfinite(gains)]
        if len(defined):
            low, high = ends(defined, level)
            p_value = min(2 * min(np.mean(defined <= 0), np.mean(defined >= 0)), 1.0)
    gain = sign * (theirs - ours)
    return Contest(metric, samples, ours, theirs, gain, low, high, float(p_value), level)
