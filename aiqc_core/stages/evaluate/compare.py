"""Test whether the better of two models is so by chance: the corrected resampled t-test."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core import counts
from aiqc_core.stages.evaluate.ranking import lower_is_better, metric_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aiqc_core.stages.preprocess.values import Floats

NAN = math.nan
LEAST_FOLDS = 2


@dataclass(frozen=True, slots=True)
class Candidate:
    """A combination and its scores, `{fold index: [score of each repeat]}`."""

    name: str
    scores: Mapping[int, Sequence[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TTest:
    """The result of `corrected_t`."""

    difference: float  # mean over folds of best - second, in the metric's own units
    standard_error: float = NAN  # of the difference, corrected for what the folds share
    t: float = NAN  # difference / standard error
    df: int  # degrees of freedom, folds - 1
    p_value: float = NAN  # two-sided
    low: float = NAN  # of the difference's confidence interval
    high: float = NAN


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison(TTest):
    """The test of the best combination against the second, by a metric on a split."""

    metric: str
    split: str
    best: str | None  # None where nothing is trained
    second: str | None  # None where there is no second
    folds: int  # on which both were judged
    level: float  # of the interval; the best is better where p < 1 - level
    is_better: bool | None  # None where undecided
    verdict: str  # a sentence
    positive: Any = None  # the positive one of two classes, for precision, recall and f1


def corrected_t(differences: Floats, *, test_share: float, level: float = 0.95) -> TTest:
    """Test whether the mean of differences over folds is zero, two-sided.

    Nadeau & Bengio (2003), "Inference for the Generalization Error", Machine Learning 52,
    section 4.2: training sets of folds overlap, so the variance of the mean is taken as
    (1/J + n_test/n_train) S² rather than S²/J; t has J - 1 degrees of freedom.

    There is a difference for each of at least 2 folds, not all equal; `test_share` is
    n_test/n_train, and `level` that of the confidence interval.
    """
    from scipy import stats

    count = len(differences)
    mean, variance = float(differences.mean()), float(differences.var(ddof=1))
    error = math.sqrt((1 / count + test_share) * variance)
    t, df = mean / error, count - 1
    reach = float(stats.t.ppf((1 + level) / 2, df)) * error
    p_value = float(2 * stats.t.sf(abs(t), df))
    return TTest(
        difference=mean, standard_error=error, t=t, df=df, p_value=p_value,
        low=mean - reach, high=mean + reach,
    )  # fmt: skip


def why_undefined(
    metric: str, split: str, scores: Sequence[float], reasons: Iterable[str]
) -> str | None:
    """Return why no model has a score; None where one has, or there is no model."""
    if not scores or any(map(math.isfinite, scores)):
        return None
    why = "; ".join(dict.fromkeys(reasons)) or "it is not finite"
    many = f"all {len(scores)} models" if len(scores) > 1 else "the only model"
    return f"{metric} on {split} is undefined for {many}, so none leads: {why}"


def best_two(
    candidates: Sequence[Candidate],
    *,
    metric: str,
    split: str,
    test_share: float,
    level: float = 0.95,
    positive: Any = None,
    undefined: str | None = None,
) -> Comparison:
    """Compare the best combination with the second, over the folds that both have.

    The repeats of a fold are averaged first: they differ in their seed alone, so they are no
    further sample of the data. See `Comparison` and `corrected_t` for the arguments; `undefined`
    says why no model has a score, and then none is the best.

    Raises:
        SelectionError: a level out of range.
    """
    counts.share("level", level)
    ranked = _ranked(candidates, metric)
    names = [candidate.name for candidate in ranked[:2]]
    best, second = [*([] if undefined else names), None, None][:2]
    shared: list[int] = []
    if len(names) > 1:
        shared = sorted(ranked[0].scores.keys() & ranked[1].scores.keys())
    pair = [[np.mean(c.scores[f]) for f in shared] for c in ranked[:2]]
    means = np.array(pair, dtype=float).reshape(len(names), len(shared))
    differences = means[0] - means[1] if shared else np.empty(0)
    named = metric_name(metric, positive)
    reason = _why_undecided(ranked, means, named)
    if reason is None:
        test = corrected_t(differences, test_share=test_share, level=level)
    else:
        mean = float(differences.mean()) if shared else NAN
        test = TTest(difference=mean, df=max(len(shared) - 1, 0))
    is_better = None if reason else bool(test.p_value < 1 - level)
    if undefined:
        reason = f"{undefined}; {reason}" if reason else undefined
    verdict = f"Cannot tell because {reason}." if reason else _sentence(names, named, test, level)
    return Comparison(
        **asdict(test), metric=metric, split=split, best=best, second=second, folds=len(shared),
        level=level, is_better=is_better, verdict=verdict, positive=positive,
    )  # fmt: skip


def _ranked(candidates: Sequence[Candidate], metric: str) -> list[Candidate]:
    """Return the combinations, the best first; those that lack folds, then NaN, come last."""
    sign = 1 if lower_is_better(metric) else -1
    most = max((len(candidate.scores) for candidate in candidates), default=0)

    def place(candidate: Candidate) -> tuple[bool, bool, float]:
        mean = float(np.mean([np.mean(repeats) for repeats in candidate.scores.values()]))
        return (math.isnan(mean), len(candidate.scores) < most, sign * mean)

    return sorted((c for c in candidates if c.scores), key=place)


def _why_undecided(ranked: Sequence[Candidate], means: Floats, metric: str) -> str | None:
    if len(ranked) < 2:  # noqa: PLR2004 - a pair
        only = f"only {ranked[0].name} is trained" if ranked else "nothing is trained"
        return f"{only}: there is no second combination to compare with"
    pair, count = f"{ranked[0].name} and {ranked[1].name}", means.shape[1]
    if count < LEAST_FOLDS:
        return (
            f"{pair} were judged on {count} shared fold(s), and what chance does shows only "
            "between folds (repeats differ in their seed alone). Cut the Splitset with "
            "fold_count=5, say"
        )
    faults = int((~np.isfinite(means)).any(axis=0).sum())
    if faults:
        return f"{metric} of {pair} is not finite in {faults} fold(s)"
    differences = means[0] - means[1]
    rounding = 8 * np.finfo(float).eps * float(np.abs(means).max())
    if float(np.ptp(differences)) <= rounding:
        return (
            f"the difference of {pair} is the same, {differences[0]:.6g}, in all {count} folds, "
            "so its spread is unknown"
        )
    return None


def _sentence(names: Sequence[str], metric: str, test: TTest, level: float) -> str:
    verb = "beats" if test.p_value < 1 - level else "leads"
    claim = f"{names[0]} {verb} {names[1]}{', which may be chance' if verb == 'leads' else ''}"
    return (
        f"{claim}: {metric} differs by {test.difference:+.4g} ({level:.0%} interval "
        f"{test.low:+.4g} to {test.high:+.4g}) over {test.df + 1} folds, p = {test.p_value:.3g} "
        "(corrected resampled t-test)."
    )
