"""Bootstrap intervals of metrics, and of the gain of a challenger over a champion."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core import counts
from aiqc_core.errors import SelectionError
from aiqc_core.stages.evaluate.checks import FAILED, PASSED, WARNING, Finding
from aiqc_core.stages.evaluate.ranking import lower_is_better, metric_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiqc_core.stages.evaluate.metrics import Scorer
    from aiqc_core.stages.preprocess.values import Array, Floats, Ints

NAN = math.nan
LEAST_RESAMPLES = 100
LEAST_SAMPLES = 10  # of fewer, an interval says nothing
BLOCK_VALUES = 2_000_000  # weights held at once: 16 MB
CLOSE = 1e-6
NO_RESAMPLES = np.empty(0)


@dataclass(frozen=True, slots=True)
class Units:
    """What is drawn: samples, groups of samples, or runs of neighbours."""

    name: str = "samples"  # in words
    groups: Ints | None = None  # the number of each sample's group, `(samples,)`
    run_length: int = 1  # neighbours drawn together

    def count(self, samples: int) -> int:
        """Return how many units there are to draw from."""
        if self.groups is not None:
            return len(np.unique(self.groups))
        return samples if samples > self.run_length else 1


@dataclass(frozen=True, slots=True)
class Interval:
    """A metric of a split with its interval, NaN where `note` says why there is none."""

    metric: str
    value: float
    low: float
    high: float
    resamples: int  # those in which the metric is defined
    undefined: int  # those in which it is not
    note: str | None  # a remark


def grouped(values: Array, column: str) -> Units:
    """Draw whole groups, as a Splitset with `groups` keeps them together.

    Source: the cluster bootstrap, Davison & Hinkley (1997), section 3.8.
    """
    unique = dict.fromkeys(values.tolist())
    try:
        ordered = sorted(unique)
    except TypeError:  # values of several types have no order; any fixed one will do
        ordered = list(unique)
    numbers = {value: i for i, value in enumerate(ordered)}
    codes = np.array([numbers[value] for value in values.tolist()], dtype=np.int64)
    return Units(f"groups of {column!r}", groups=codes)


def runs(samples: int, overlap: int = 1) -> Units:
    """Draw runs of neighbours, since samples near in time are alike.

    Source: the circular block bootstrap, Politis & Romano (1992); runs of n^(1/3) samples, the
    best rate for a variance (Künsch 1989), and at least as long as windows share rows.

    >>> runs(1000).run_length, runs(1000, overlap=24).run_length
    (10, 24)
    """
    length = max(round(samples ** (1 / 3)), overlap, 1)
    return Units(f"runs of {length} samples in order", run_length=length)


def intervals(
    score: Scorer,
    samples: int,
    values: Mapping[str, float],
    *,
    units: Units,
    level: float,
    resamples: int,
    seed: int,
) -> list[Interval]:
    """Return the percentile interval of each metric.

    Source: Efron & Tibshirani (1993), "An Introduction to the Bootstrap", section 13.3: from the
    (1 - level)/2 to the (1 + level)/2 quantile over resamples in which the metric is defined.

    A recorded value that `score` does not reproduce within 1e-6 has no interval. `units` are
    drawn, with `seed`.

    Raises:
        SelectionError: `level` is not between 0 and 1, or `resamples` is below 100.
    """
    checked(level, resamples)
    with np.errstate(invalid="ignore", over="ignore"):  # predictions that are not finite
        again = {name: float(v[0]) for name, v in score(np.ones((1, samples))).items()}
    reasons = {name: _reason(name, values[name], again, samples, units) for name in values}
    parts: list[dict[str, Floats]] = []
    if not all(reasons.values()):
        generator = np.random.default_rng(seed)
        rows = max(BLOCK_VALUES // samples, 1)  # of a block, to bound the memory
        for start in range(0, resamples, rows):
            count = min(rows, resamples - start)
            parts.append(score(weights(units, samples, count, generator)))
    found: list[Interval] = []
    for name, value in values.items():
        reason, low, high, defined, undefined = reasons[name], NAN, NAN, NO_RESAMPLES, 0
        if not reason:
            drawn = np.concatenate([part[name] for part in parts])
            defined = drawn[np.isfinite(drawn)]
            undefined = len(drawn) - len(defined)
            reason = f"undefined in {undefined} of {len(drawn)} resamples" if undefined else None
            if len(defined):
                low, high = ends(defined, level)
            else:
                reason = "is undefined in every resample"
        found.append(Interval(name, value, low, high, len(defined), undefined, reason))
    return found


def checked(level: Any, resamples: Any) -> None:
    """Raise `SelectionError` unless an interval can have this level and so many resamples."""
    counts.share("level", level)
    counts.whole("resamples", resamples, least=LEAST_RESAMPLES)


def _reason(
    name: str, value: float, again: Mapping[str, float], samples: int, units: Units
) -> str | None:
    """Return why a metric has no interval; None where it has one."""
    if name not in again:
        return "needs the model's outputs, of which only predictions are stored"
    if not math.isfinite(value):
        return "is not finite in the split itself"
    if units.count(samples) == 1:
        return f"there is nothing to draw from: {samples} sample(s), drawn as {units.name}"
    if not math.isclose(value, again[name], rel_tol=CLOSE, abs_tol=CLOSE):
        return "cannot be computed again from stored predictions: their coder does not go back"
    return None


def weights(units: Units, samples: int, resamples: int, generator: np.random.Generator) -> Floats:
    """Draw resamples: how often each sample is in each, `(resamples, samples)`."""
    if units.groups is not None:
        numbers, of_sample = np.unique(units.groups, return_inverse=True)
        return _tally(generator.integers(0, len(numbers), (resamples, len(numbers))))[:, of_sample]
    length = min(units.run_length, samples)
    starts = generator.integers(0, samples, (resamples, -(-samples // length)))
    drawn = (starts[:, :, None] + np.arange(length)).reshape(resamples, -1)[:, :samples]
    return _tally(drawn % samples)


def _tally(drawn: Ints) -> Floats:
    """Count how often each number was drawn in each row; a row has as many draws as numbers."""
    rows, width = drawn.shape
    flat = (drawn + np.arange(rows)[:, None] * width).ravel()
    return np.bincount(flat, minlength=rows * width).reshape(rows, width).astype(np.float64)


def ends(defined: Floats, level: float) -> tuple[float, float]:
    """Return both ends of the percentile interval of some resamples."""
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return low, high


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
    source are those of `intervals`, on pairs; samples are drawn by default.

    Raises:
        SelectionError: there is no such metric.
    """
    if not samples:
        return Contest(metric, 0, NAN, NAN, NAN, NAN, NAN, NAN, level)
    whole = np.ones((1, samples))
    scores = [score(whole) for score in (champion, challenger)]
    for score in scores:
        if metric not in score:
            raise SelectionError(f"metric: {metric!r}; a contest has {sorted(score)}.")
    sign = -1.0 if lower_is_better(metric) else 1.0
    ours, theirs = (float(score[metric][0]) for score in scores)
    low = high = p_value = NAN
    if samples >= LEAST_SAMPLES:
        drawn = weights(units or Units(), samples, resamples, np.random.default_rng(seed))
        gains = sign * (challenger(drawn)[metric] - champion(drawn)[metric])
        defined = gains[np.isfinite(gains)]
        if len(defined):
            low, high = ends(defined, level)
            p_value = min(2 * min(np.mean(defined <= 0), np.mean(defined >= 0)), 1.0)
    gain = sign * (theirs - ours)
    return Contest(metric, samples, ours, theirs, gain, low, high, float(p_value), level)
