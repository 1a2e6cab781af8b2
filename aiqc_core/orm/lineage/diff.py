"""Find the ancestors in which two Predictors differ."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from aiqc_core.errors import AlgorithmError, MetastoreError
from aiqc_core.orm.lineage import facts, preprocessing_facts
from aiqc_core.orm.store import signing
from aiqc_core.orm.store.fields import digest_of, raw
from aiqc_core.orm.tables.algorithm import ROLES
from aiqc_core.orm.tables.predictor import Predictor
from aiqc_core.stages.split.cut import OPTIONS
from aiqc_core.stages.train import compare
from aiqc_core.stages.train.backends.weights import weights_of
from aiqc_core.stages.train.functions import capture
from aiqc_core.usercode.identity import fingerprint, identity_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiqc_core.orm.tables.splitset import Fold, Splitset


ABSENT = "none"
DEFAULT = "the default"
SHOWN_PARTS = 5


@dataclass(frozen=True, slots=True)
class Difference:
    """One ancestor in which two Predictors differ.

    Attributes:
        note: how far weights are apart, or which functions and variables of code differ.
    """

    ancestor: str  # its stage, and which part of it, such as `'source, feature 0'`
    left: Any  # its value for the first Predictor, as JSON can hold it
    right: Any  # its value for the second
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Diff:
    """Two Predictors, by id, compared in the order in which data flows.

    Attributes:
        differences: those ancestors that differ, in order; empty when the two are identical.
    """

    left: int
    right: int
    differences: list[Difference]
    same: list[str]  # the stages of which all is equal

    @property
    def identical(self) -> bool:
        """Whether nothing differs."""
        return not self.differences

    @property
    def first(self) -> Difference | None:
        """The first ancestor that differs; None where nothing does."""
        return self.differences[0] if self.differences else None


@dataclass(frozen=True, slots=True)
class _Fact:
    """What is compared, and what is shown of it."""

    key: Any
    shown: Any = field(compare=False)


def diff(predictor: Predictor, other: Predictor | int) -> Diff:
    """Compare with another Predictor, ancestor by ancestor in the order in which data flows.

    Source, dtypes, columns, interpolaters, encoders, window, shape, split, fold, fit, code,
    hyperparameters, seed, library versions, weights: by content, never by id or time.

    Args:
        other: a Predictor, or its id.

    Returns:
        `first`, the first ancestor that differs, with both values; all `differences`; what is
        the `same`.
    """
    right = other if isinstance(other, Predictor) else Predictor.get_by_id(other)
    differences: list[Difference] = []
    same: list[str] = []
    for stage, facts_of in STAGES.items():
        found = list(_differences(stage, facts_of(predictor), facts_of(right)))
        if stage == "code":
            compared = [_code_difference(predictor, right, d) for d in found]
            found = [d for d in compared if d is not None]
        if stage == "fit" and found and _learned_the_same(predictor, right):
            found = []
        differences += found
        same += [] if found else [stage]
    weights = _weights(predictor, right)
    same += [] if weights else ["weights"]
    return Diff(predictor.id, right.id, differences + weights, same)


def _differences(stage: str, left: dict[str, Any], right: dict[str, Any]) -> Iterator[Difference]:
    for part in dict.fromkeys([*left, *right]):
        one, other = left.get(part, ABSENT), right.get(part, ABSENT)
        if one != other:
            name = f"{stage}, {part}" if part else stage
            yield Difference(name, *(getattr(side, "shown", side) for side in (one, other)))


def _source(predictor: Predictor) -> dict[str, _Fact]:
    return {
        used_as: _Fact(
            row.sha256_hexdigest,
            {"dataset": row.id, "name": row.name, "version": row.version,
             "place": row.source_path, "sha256": row.sha256_hexdigest},
        )
        for used_as, row in facts.datasets_of(predictor.job.queue.splitset)
    }  # fmt: skip


def _columns(predictor: Predictor) -> dict[str, Any]:
    parts = facts.parts_of(predictor.job.queue.splitset)
    found: dict[str, Any] = {part: row.columns for part, row in parts.items()}
    label = {"label": found.pop("label")} if "label" in found else {}
    positive = predictor.positive_class
    return found | ({} if positive is None else {"positive class": positive}) | label


def _split(predictor: Predictor) -> dict[str, Any]:
    splitset = predictor.job.queue.splitset
    options = {name: getattr(splitset, name) for name in (*OPTIONS, "seed")}
    return options | {"samples": _samples(splitset)}


def _fold(predictor: Predictor) -> dict[str, Any]:
    fold = predictor.job.fold
    return {} if fold is None else {"index": fold.idx, "samples": _samples(fold)}


def _samples(cut: Splitset | Fold) -> _Fact:
    shown = {
        split: {"count": len(rows), "sha256": facts.sha256(rows.tobytes())}
        for split, rows in cut.positions().items()
    }
    return _Fact(digest_of(cut, "samples"), shown)


def _code(predictor: Predictor) -> dict[str, Any]:
    algorithm = predictor.job.queue.algorithm
    given = {code.role: _Fact(code.sha256, code.text) for code in facts.codes_of(algorithm)}
    named = {name: getattr(algorithm, name) for name in ("library", "analysis_type", "outputs")}
    return named | {role: given.get(role, DEFAULT) for role in ROLES}


def _code_difference(left: Predictor, right: Predictor, found: Difference) -> Difference | None:
    """Name what differs in two functions of other bytes; None where only their place differs."""
    role = found.ancestor.rpartition(", ")[2]
    given = [each.job.queue.algorithm.payloads().get(role) for each in (left, right)]
    if any(payload is None for payload in given):
        return found
    try:
        one, other = (identity_of(capture.restore(payload)) for payload in given if payload)
    except AlgorithmError:  # captured by another Python: only their bytes compare
        return found
    if one.digest == other.digest:
        return None
    names = dict.fromkeys([*one.parts, *other.parts])
    changed = [name for name in names if one.parts.get(name) != other.parts.get(name)]
    more = f" and {len(changed) - SHOWN_PARTS} more" if len(changed) > SHOWN_PARTS else ""
    note = f"in {', '.join(changed[:SHOWN_PARTS])}{more}" if changed else None
    return replace(found, note=note)


def _learned_the_same(left: Predictor, right: Predictor) -> bool:
    """Say whether fits of other bytes are equal, as they hold functions from other places."""
    try:
        return fingerprint(left.fitted_preprocessing) == fingerprint(right.fitted_preprocessing)
    except MetastoreError:
        return False


def _weights(left: Predictor, right: Predictor) -> list[Difference]:
    """Return how the weights differ, in a list that is empty where they are equal."""
    one, other = ({"sha256": digest_of(each, "model_file")} for each in (left, right))
    if one == other:
        return []
    libraries = [each.job.queue.algorithm.library for each in (left, right)]
    if libraries[0] != libraries[1]:
        return [Difference("weights", one, other, "other libraries")]
    then, now = (weights_of(libraries[0], each.model_file) for each in (left, right))
    found = compare.compare(then, now)
    if found.bit_equal:  # a file also holds the time at which it was made
        return []
    note = "other shapes" if found.largest is None else f"largest difference {found.largest:.3g}"
    one |= {"weight": found.where, "value": found.then}
    other |= {"weight": found.where, "value": found.now}
    return [Difference("weights", one, other, note)]


# In the order in which data flows; each gives `{part: fact}`.
STAGES: dict[str, Callable[[Predictor], dict[str, Any]]] = {
    "source": _source,
    "dtypes": lambda p: {
        part: row.get_dtypes() for part, row in facts.parts_of(p.job.queue.splitset).items()
    },
    "columns": _columns,
    "interpolate": lambda p: preprocessing_facts.interpolaters_of(p.job.queue.splitset),
    "encode": lambda p: preprocessing_facts.coders_of(p.job.queue.splitset),
    "window": lambda p: preprocessing_facts.windows_of(p.job.queue.splitset),
    "shape": lambda p: preprocessing_facts.shapes_of(p.job.queue.splitset),
    "split": _split,
    "fold": _fold,
    # The hash of what the encoders learned, without the versions that made them.
    "fit": lambda p: {"": facts.sha256(signing.unseal(raw(p, "fitted_preprocessing")))},
    "code": _code,
    "hyperparameters": lambda p: p.job.hyperparameters,
    "seed": lambda p: {
        "queue": p.job.queue.seed,
        "repeat_index": p.repeat_index,
        "training": p.seed,
    },
    "versions": lambda p: p.versions,
}
