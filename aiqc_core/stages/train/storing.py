"""Check that the model that is stored is the model that was scored.

Before training, the untrained model is saved, loaded and run once, so that a model that cannot be
stored is refused early. After it, the stored model is loaded as for predictions, and has to
predict a sample of the rows as they were scored.
"""

from __future__ import annotations

import hashlib
import logging
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core import config
from aiqc_core.errors import TrainingError
from aiqc_core.stages.train.outputs import precision
from aiqc_core.stages.train.trained_model import makers, restore_functions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from aiqc_core.stages.train.backends.base import Backend
    from aiqc_core.stages.train.scoring import SplitScores
    from aiqc_core.stages.train.spec import JobSpec
    from aiqc_core.stages.train.trained_model import Evaluator

logger = logging.getLogger(__name__)

FEW, SAMPLE, FIRST = 4, 64, 1000
RELATIVE = 1e-4  # of the largest value; the same code gives the same, but for the order of sums
ROUNDING = 20.0  # times that, where a device computes batches of other sizes in another way
OTHER_CLASSES = 1  # of the sample, where a probability is at the threshold
ALIKE = 0.3  # the cosine of the angle between weights; a newly made model is at right angles
_rehearsed: set[str] = set()


def rehearse(
    backend: Backend, spec: JobSpec, label_shape: tuple[int, ...],
    parts: tuple[Any, Any, Any], arrays: Sequence[NDArray[Any]],
) -> None:  # fmt: skip
    """Save, load and run an untrained model, which stays as it is, as do the generators.

    This is done once in a process for each Algorithm, shapes and, where it costs little,
    hyperparameters. `parts` are the model, its optimizer and its loss.

    Raises:
        TrainingError: it cannot be stored, or what is loaded again predicts something else.
    """
    shapes: Any = [array.shape[1:] for array in arrays]
    shapes = shapes[0] if len(shapes) == 1 else shapes
    varied = spec.hyperparameters if backend.rehearses_hyperparameters else None
    digest = hashlib.sha256(repr((spec.library, shapes, label_shape, varied)).encode())
    for role in ("fn_build", "fn_optimize", "fn_lose"):
        digest.update(role.encode() + (spec.functions.get(role) or b""))
    key = digest.hexdigest()
    if key in _rehearsed:
        return
    user = restore_functions(spec.functions, spec.sources)  # again, as where the model is loaded
    make = makers(backend, user, shapes, label_shape, spec.hyperparameters)
    few = backend.from_arrays([array[:FEW] for array in arrays])
    with backend.drawing(spec.seed):
        pair = backend.rehearsed(parts, *make, few)
    if pair is not None and not near(*pair[:2]):
        expected, found, lost = pair
        raise TrainingError(
            "fn_build: an untrained model that is saved and loaded again predicts "
            f"{_shown(found[0])}, the model itself {_shown(expected[0])}. "
            f"{_explained(lost, backend)}"
        )
    _rehearsed.add(key)


def stored(
    backend: Backend, parts: tuple[Any, Any], sizes: Any, verify: Callable[[bytes], None]
) -> bytes:
    """Return a trained model as the first bytes that pass `verify`; raise where none does.

    `parts` are the model and its optimizer, `sizes` what `Backend.sizes` gave before the training.
    """
    first: TrainingError | None = None
    for data in backend.stored_forms(*parts, sizes):
        try:
            verify(data)
        except TrainingError as error:
            first = first or error
        else:
            return data
    raise first or TrainingError("the trained model has no form that can be stored.")


def refuse_other(
    backend: Backend, trained: Evaluator, loaded: Evaluator, arrays: Sequence[NDArray[Any]],
    scored: tuple[NDArray[Any], NDArray[Any] | None], label_shape: tuple[int, ...],
    outside: Sequence[str] = (),
) -> str | None:  # fmt: skip
    """Make sure that a loaded model predicts a split's rows as `trained` was scored.

    `scored` are the predictions and probabilities of `arrays`; `outside` is what `fn_train` set
    for the process, which is restored by now.

    Returns:
        A note on a model that gives something else each time, or for a row beside other rows.

    Raises:
        TrainingError: it predicts something else; with the state that was lost.
    """
    rows = np.unique(np.linspace(0, len(arrays[0]) - 1, SAMPLE).astype(int))
    sample = [array[rows] for array in arrays]
    expected = [None if each is None else each[rows] for each in scored]

    def ask(evaluator: Evaluator, seed: int = 0, features: Any = sample) -> tuple[Any, Any]:
        with backend.drawing(seed):
            found: SplitScores = evaluator.predict([features], label_shape)
        return found.predictions, found.probabilities

    def lost() -> str:
        return _explained([*outside, *backend.lost(trained.model, loaded.model)], backend)

    try:
        found = ask(loaded)
    except Exception as error:
        message = f"the trained model fails when it is loaded again: {error}. {lost()}"
        raise TrainingError(message) from error
    if _same(expected, found):
        return None
    again = ask(trained)
    is_stored = _same(again, found)
    if not _same(again, ask(trained)) or (is_stored and not _same(again, ask(trained, 1))):
        return (
            "the model gives other outputs each time it is asked, so its scores and predictions "
            "are one draw of them: is dropout left on, as by F.dropout without "
            "training=self.training, is a number drawn in forward, or does it count its calls?"
        )
    whole = ask(loaded, features=list(arrays)) if is_stored else None
    if whole and _same(expected, [None if each is None else each[rows] for each in whole]):
        if _same(expected, found, ROUNDING):
            return None
        return "what the model gives for a row depends on the other rows of its batch."
    raise TrainingError(
        "the stored model is not the one that was scored: loaded again, it predicts "
        f"{_first_apart(found, expected)} was scored. {lost()}"
    )


def near(expected: Any, found: Any, slack: float = 1.0) -> bool:
    """Say whether two arrays are equal within the precision of their numbers, times `slack`."""
    one, other = np.asarray(expected), np.asarray(found)
    if one.shape != other.shape:
        return False
    if one.dtype.kind not in "fc" or other.dtype.kind not in "fc":
        return int((one != other).sum()) <= min(OTHER_CLASSES, one.size // 8)
    known = np.isfinite(one)
    size = np.abs(one[known]).max(initial=0.0)
    reach = slack * max(RELATIVE, 2 * max(precision(one), precision(other))) * size
    with np.errstate(invalid="ignore"):
        apart = np.abs(one.astype(complex) - other.astype(complex))
    return bool(((apart <= reach) | (one == other) | (np.isnan(one) & np.isnan(other))).all())


@dataclass(frozen=True, slots=True)
class Sketch:
    """A digest of all weights, and the first numbers of each."""

    digest: int
    some: NDArray[np.float64]

    @classmethod
    def of(cls, weights: Sequence[NDArray[Any]]) -> Sketch:
        """Return the sketch of weights."""
        digest = 0
        for each in weights:
            digest = zlib.crc32(np.ascontiguousarray(each).tobytes(), digest)
        first = [np.ravel(each)[:FIRST].astype(np.float64) for each in weights]
        return cls(digest, np.concatenate([np.zeros(0), *first]))

    def resembles(self, other: Sketch) -> bool:
        """Say whether training may have made these weights of the others: their angle is small."""
        one, two = self.some, other.some
        if one.shape != two.shape:
            return True
        drawn = ~np.isin(two, (0, 1))  # what a layer draws as it is made
        one, two = one[drawn], two[drawn]
        size = float(np.linalg.norm(one) * np.linalg.norm(two))
        return not float(one @ two) < ALIKE * size


def untrained(backend: Backend, before: Sketch, given: Any, model: Any) -> str | None:
    """Return a note where `model`, which `fn_train` returned for `given`, was not trained.

    `before` is of the weights that training might have moved.
    """
    after = Sketch.of(backend.learning(model, None))
    if before.some.size and after.digest == before.digest:
        return (
            "no weight of the model moved in training: the untrained model is stored. Does the "
            "optimizer hold the parameters of this model, and are loss.backward() and "
            "optimizer.step() called?"
        )
    if before.some.size and model is not given and not backend.has_stepped(model):
        trained = Sketch.of(backend.learning(given, None))
        if not (after.resembles(before) or after.resembles(trained)):
            return (
                "fn_train returns another model than the one it was given, and nothing shows that "
                "this one was trained. Return the model that was trained."
            )
    return None


def keep(backend: Backend, model: Any, name: str) -> Path | None:
    """Write the weights of a model that was trained and could not be scored or stored.

    Return the file; None where nothing could be written.
    """
    for folder in config.spill_paths():
        with suppress(Exception):  # so that the error before it is not hidden
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return backend.keep(model, folder / name)
    return None


def _same(expected: Sequence[Any], found: Sequence[Any], slack: float = 1.0) -> bool:
    pairs = [(a, b) for a, b in zip(expected, found, strict=True) if a is not None]
    return all(b is not None and near(a, b, slack) for a, b in pairs)


def _first_apart(found: Sequence[Any], expected: Sequence[Any]) -> str:
    pairs = [(np.asarray(f), np.asarray(e)) for f, e in zip(found, expected, strict=True)
             if e is not None and f is not None]  # fmt: skip
    got, was = next(((f, e) for f, e in pairs if not near(e, f)), pairs[0])
    if got.shape != was.shape:
        return f"{got.shape} where {was.shape}"
    rows = np.flatnonzero((got != was).reshape(len(got), -1).any(axis=1))
    row = int(rows[0]) if len(rows) else 0
    return f"{_shown(got[row])} where {_shown(was[row])}"


def _shown(value: Any) -> str:
    flat = np.ravel(value)
    shown = [f"{v:.4g}" if isinstance(v, float | np.floating) else str(v) for v in flat[:3]]
    return ", ".join(shown) + (", …" if len(flat) > 3 else "")  # noqa: PLR2004 - for a line


def _explained(lost: Sequence[str], backend: Backend) -> str:
    if not lost:
        return (
            "No attribute of the model explains it: what fn_build draws or reads again, and what "
            "fn_train changes outside of the model (a global, its class), is not stored."
        )
    more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""  # noqa: PLR2004 - for a line
    remedy = "Make all layers in fn_build." if lost[-1].startswith("layer ") else backend.REMEDY
    return f"Not stored with its weights: {'; '.join(lost[:3])}{more}. {remedy}"
