"""Champion and challenger on the same samples, and which of them is surely better."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.errors import SelectionError
from aiqc_core.stages.evaluate.bootstrap import Units, weights
from aiqc_core.stages.evaluate.checks import FAILED, PASSED, WARNING, Finding
from aiqc_core.stages.evaluate.ranking import lower_is_better, told

if TYPE_CHECKING:
    from aiqc_core.stages.evaluate.weighted import Metrics

LEAST_SAMPLES = 10  # of fewer, an interval says nothing


@dataclass(frozen=True, slots=True)
class Contest:
    """What both scored on the same samples.

    Attributes:
        metric: by which they are judged.
        samples: how many both were judged on.
        champion: the champion's score.
        challenger: the challenger's score.
        gain: how much better the challenger is, in the metric's own units: positive is better,
            whichever way the metric points.
        low: lower end of the paired interval of the gain; NaN where there is none.
        high: upper end.
        p_value: two-sided: twice the share of resamples on the less likely side of 0; NaN where
            there is no interval.
        level: of the interval.
        positive: of two classes the one that precision, recall and f1 are of; else None.
    """

    metric: str
    samples: int
    champion: float
    challenger: float
    gain: float
    low: float
    high: float
    p_value: float
    level: float
    positive: Any = None

    @property
    def is_worse(self) -> bool:
        """Whether the challenger is surely worse: the whole interval lies below 0."""
        return self.high < 0

    def finding(self) -> Finding:
        """Say it in a sentence: red when surely worse, amber when it cannot be told."""
        facts = {name: value for name, value in asdict(self).items() if value is not None}
        facts["p"] = facts.pop("p_value")
        if unsure := self._unsure():
            return Finding(WARNING, unsure, facts)
        verdict = "is surely worse" if self.is_worse else "is not surely worse"
        if self.low > 0:
            verdict = "is surely better"
        metric = told(self.metric, self.positive)
        summary = (
            f"The challenger {verdict}: {metric} {self.challenger:.4f} against "
            f"{self.champion:.4f} on {self.samples} samples, a gain of {self.gain:+.4f} "
            f"({self.level:.0%} interval {self.low:+.4f} to {self.high:+.4f})."
        )
        return Finding(FAILED if self.is_worse else PASSED, summary, facts)

    def _unsure(self) -> str | None:
        """Return why nothing can be told; None where something can."""
        scores = {"champion": self.champion, "challenger": self.challenger}
        undefined = [name for name, score in scores.items() if not math.isfinite(score)]
        if self.samples == 0:
            return "The challenger learned from every sample of the champion, so none can judge."
        if undefined:
            whose = " and ".join(undefined)
            return f"{self.metric} of the {whose} is undefined on these {self.samples} samples."
        if self.samples < LEAST_SAMPLES or not math.isfinite(self.low):
            return f"{self.samples} samples are too few to compare champion and challenger."
        return None


def contest(
    champion: Metrics,
    challenger: Metrics,
    samples: int,
    metric: str,
    *,
    units: Units | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Contest:
    """Compare two models on the same samples by the paired bootstrap.

    Each resample is scored for both, so that what makes a sample hard for both cancels out; the
    interval runs between quantiles of their difference. Source: Efron & Tibshirani (1993), "An
    Introduction to the Bootstrap", section 13.3, on pairs.

    Args:
        champion: the metrics of the champion on resamples; see `weighted`.
        challenger: those of the challenger on the same.
        samples: how many samples there are.
        metric: one of the metrics.
        units: what is drawn; samples by default.
        level: of the interval.
        resamples: how many are drawn.
        seed: of the draw.

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
            low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2]).tolist()
            p_value = min(2 * min(np.mean(defined <= 0), np.mean(defined >= 0)), 1.0)
    gain = sign * (theirs - ours)
    return Contest(metric, samples, ours, theirs, gain, low, high, float(p_value), level)
