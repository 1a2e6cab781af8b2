"""Bootstrap intervals of metrics."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core import counts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiqc_core.stages.evaluate.metrics import Scorer
    from aiqc_core.stages.preprocess.values import Array, Floats, Ints

NAN = math.nan
LEAST_RESAMPLES = 100
BLOCK_VALUES = 2_000_000  # weights held at once: 16 MB
CLOSE = 1e-6


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

    `score` gives the metrics of resamples, see `weighted`; a recorded value that it does not
    reproduce within 1e-6 has no interval. `units` are drawn, with `seed`.

    Raises:
        SelectionError: `level` is not between 0 and 1, or `resamples` is below 100.
    """
    checked(level, resamples)
    with np.errstate(invalid="ignore", over="ignore"):  # predictions that are not finite
        again = {name: float(v[0]) for name, v in score(np.ones((1, samples))).items()}
    reasons = {name: _reason(name, values[name], again, samples, units) for name in values}
    drawn: dict[str, Floats] = {}
    if not all(reasons.values()):
        drawn = _drawn(score, samples, units, resamples, seed)
    return [
        Interval(name, value, NAN, NAN, 0, 0, reason)
        if (reason := reasons[name])
        else _percentiles(name, value, drawn[name], level)
        for name, value in values.items()
    ]


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


def _drawn(
    score: Scorer, samples: int, units: Units, resamples: int, seed: int
) -> dict[str, Floats]:
    """Return each metric of each resample, computed in blocks to bound the memory."""
    generator = np.random.default_rng(seed)
    rows = max(BLOCK_VALUES // samples, 1)
    parts = [
        score(weights(units, samples, min(rows, resamples - start), generator))
        for start in range(0, resamples, rows)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


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


def _percentiles(name: str, value: float, drawn: Floats, level: float) -> Interval:
    defined = drawn[np.isfinite(drawn)]
    undefined = len(drawn) - len(defined)
    if not len(defined):
        return Interval(name, value, NAN, NAN, 0, undefined, "is undefined in every resample")
    note = f"undefined in {undefined} of {len(drawn)} resamples" if undefined else None
    return Interval(name, value, *ends(defined, level), len(defined), undefined, note)


def ends(defined: Floats, level: float) -> tuple[float, float]:
    """Return both ends of the percentile interval of some resamples."""
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return low, high
