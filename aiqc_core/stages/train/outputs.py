"""What the outputs of a classifier mean: probabilities, logits or log-probabilities.

The user states it by `outputs`, or the last activation of the model says it. Where neither is
known, the loss and the values decide, which is a guess that the Prediction notes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.analysis import AnalysisType

if TYPE_CHECKING:
    from numpy.typing import NDArray

PROBABILITIES, LOGITS, LOGS = "probabilities", "logits", "log-probabilities"
SHARES = "changed probabilities"  # numbers were added to probabilities, or multiplied with them
STATABLE = (PROBABILITIES, LOGITS)
STATED, ACTIVATION, LOSS, VALUES = "stated", "last activation", "loss", "values"
TOLERANCE = 1e-4  # of a row's sum, in float32; float64 often holds what was computed in float32
BFLOAT16, FLOAT16 = 2.0**-7, 2.0**-10  # the spacing of numbers at 1
ROUNDINGS = 4
BEYOND = 0.01  # 1, what is added to probabilities so that their logarithm is finite, say


@dataclass(frozen=True, slots=True)
class Meaning:
    """What outputs mean, and how that is known.

    Attributes:
        kind: `'probabilities'`, `'logits'` or `'log-probabilities'`; None for a regression.
        how: `'stated'`, `'last activation'`, `'loss'` or `'values'`; the last is a guess.
        note: what the user should know of it.
    """

    kind: str | None
    how: str = STATED
    note: str | None = None


def meaning(
    analysis_type: str, output: NDArray[Any], stated: str | None, last: str | None,
    taken: str | None,
) -> Meaning:  # fmt: skip
    """Decide what a model's outputs of all samples of a split mean.

    Sigmoids of several classes count as probabilities too, each divided by their sum, as the
    losses of Keras and scikit-learn's one-against-rest do. `stated` is what the user says, `last`
    what the model's last steps say (see `last_step.meaning_of`), `taken` what the loss takes.
    """
    if analysis_type == AnalysisType.REGRESSION or stated is not None:
        return Meaning(None if analysis_type == AnalysisType.REGRESSION else stated)
    if last in {PROBABILITIES, LOGS}:
        return Meaning(last, ACTIVATION, _mismatch(last, taken))
    is_binary, within = analysis_type == AnalysisType.BINARY, in_unit_interval(output)
    if last == SHARES and within:
        guess = _guess("are those of a softmax or sigmoid, changed after it, and in [0, 1]")
        return Meaning(PROBABILITIES, VALUES, _mismatch(PROBABILITIES, taken) or guess)
    if taken == LOGITS and (is_binary or last == LOGITS):
        why = "are all in [0, 1] as probabilities are, and the loss takes logits"
        return Meaning(LOGITS, LOSS, _guess(why, LOGITS) if within and last != LOGITS else None)
    if is_binary:
        guess = _guess("are not known by its last layer or its loss")
        is_known = taken == PROBABILITIES
        return Meaning(PROBABILITIES, *((LOSS, None) if is_known else (VALUES, guess)))
    return _by_values(output, last, taken)


def distributions(output: NDArray[np.float64], kind: str | None) -> NDArray[np.float64]:
    """Return probabilities `(samples, classes)`; rows with NaN stay NaN.

    Probabilities stay as they are where a row's sum is 1 within the precision of the numbers, and
    are divided by it otherwise; logits and log-probabilities go through the softmax.
    """
    if kind == PROBABILITIES:
        totals = output.sum(axis=1, keepdims=True)
        apart = np.abs(totals - 1) > tolerance(output)
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = np.where(totals > 0, output / totals, 1 / output.shape[1])
        return np.where(apart & (output >= 0).all(axis=1, keepdims=True), shares, output)
    with np.errstate(invalid="ignore"):  # infinite logits
        powers = np.exp(output - output.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def of_one_class(output: NDArray[np.float64], kind: str | None) -> NDArray[np.float64]:
    """Return the probability of class 1 of a binary model."""
    if kind == LOGITS:
        return 0.5 + 0.5 * np.tanh(output / 2)  # the sigmoid
    shares = np.exp(output) if kind == LOGS else output
    return np.where((shares > 1) & (shares <= 1 + BEYOND), 1.0, shares)


def in_unit_interval(output: NDArray[Any]) -> bool:
    """Say whether all that is finite is in [0, 1], or a little beyond, as 1 + 0.001 is."""
    finite = output[np.isfinite(output)]
    return bool(((finite >= 0) & (finite <= 1 + BEYOND)).all())


def are_distributions(output: NDArray[Any]) -> bool:
    """Say whether every finite row is in [0, 1] and sums to 1 within the numbers' precision.

    >>> are_distributions(np.array([[0.25, 0.75], [1.0, 0.0]]))
    True
    """
    values = np.asarray(output, dtype=np.float64)
    known = values[np.isfinite(values).all(axis=1)]
    apart = np.abs(known.sum(axis=1) - 1)
    return bool((known >= 0).all() and (apart < tolerance(known)).all())


def tolerance(values: NDArray[Any]) -> float:
    """Return how far from 1 the sum of probabilities may be by rounding."""
    return max(TOLERANCE, ROUNDINGS * precision(values))


def precision(values: NDArray[Any]) -> float:
    """Return the spacing at 1 of the coarsest type that holds all these numbers exactly.

    So bfloat16 that was cast to float32 still has the precision of bfloat16.

    >>> precision(np.array([0.1], dtype=np.float16)) == FLOAT16
    True
    """
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    single = finite.astype(np.float32)
    if (single != finite).any():
        return float(np.finfo(np.float64).eps)
    if not (single.view(np.uint32) & 0xFFFF).any():
        return BFLOAT16
    with np.errstate(over="ignore"):
        held = (single.astype(np.float16) == single).all()
    return FLOAT16 if held else float(np.finfo(np.float32).eps)


def _by_values(output: NDArray[Any], last: str | None, taken: str | None) -> Meaning:
    flat = np.asarray(output, dtype=np.float64).reshape(len(output), -1)
    if are_distributions(flat):
        again = _mismatch(PROBABILITIES, taken)
        return Meaning(PROBABILITIES, VALUES, again or _guess("are in [0, 1] and sum to 1"))
    if last == SHARES:
        why = "are those of a softmax or sigmoid, changed beyond [0, 1]"
        return Meaning(LOGITS, VALUES, _guess(why, LOGITS))
    if last == LOGITS:
        return Meaning(LOGITS, ACTIVATION)
    if (flat[np.isfinite(flat)] < 0).any() or (flat[np.isfinite(flat)] > 1).any():
        return Meaning(LOGITS, VALUES)
    if taken == PROBABILITIES:
        return Meaning(PROBABILITIES, VALUES, _guess("are in [0, 1], as the loss takes them"))
    return Meaning(LOGITS, VALUES, _guess("are in [0, 1] and do not sum to 1", LOGITS))


def _guess(why: str, kind: str = PROBABILITIES) -> str:
    return (
        f"the model's outputs {why}, so they are taken for {kind}. That is a guess: say "
        "outputs='probabilities' or outputs='logits' where the Algorithm is made, or end the "
        "model with a layer that says it, such as a softmax."
    )


def _mismatch(last: str | None, taken: str | None) -> str | None:
    if last == PROBABILITIES and taken == LOGITS:
        return (
            "the model ends in a softmax or sigmoid, and the loss, which takes logits, applies it "
            "again. What the model gives is taken for probabilities. Leave out one of them."
        )
    if last == PROBABILITIES and taken == LOGS:
        return (
            "the model gives probabilities, and the loss takes their logarithm. End the model "
            "with LogSoftmax, or use another loss."
        )
    return None
