"""Group Jobs that may be trained together, by their specifications."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiqc_core.storage import cache

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from aiqc_core.stages.train.spec import JobSpec

MOST_TOGETHER = 32
ALONE = "no other Job here differs from it only in numbers, with samples of the same shapes"


def groups(specs: Sequence[JobSpec]) -> tuple[list[list[int]], dict[int, str]]:
    """Sort Jobs into groups that `run_stacked` may train together.

    Those of a group differ in numbers only (hyperparameters, seed, repeat, fold). Numbers that
    change the architecture or the batches are found later, when the models are there; Jobs that
    share their whole numbers are put side by side.

    Returns:
        Groups of indices, 2 to 32 each; and for every other index why it trains by itself.
    """
    alike: dict[Hashable, list[int]] = {}
    reasons: dict[int, str] = {}
    shapes: dict[str, Any] = {}
    for index, spec in enumerate(specs):
        if reason := _why_alone(spec):
            reasons[index] = reason
        else:
            alike.setdefault(_common(spec, shapes), []).append(index)
    found: list[list[int]] = []
    for members in alike.values():
        if len(members) == 1:
            reasons[members[0]] = ALONE
        else:
            members.sort(key=lambda index: _whole_numbers(specs[index]))
            parts = math.ceil(len(members) / MOST_TOGETHER)  # of nearly equal size
            edges = [len(members) * i // parts for i in range(parts + 1)]
            found += [members[start:stop] for start, stop in itertools.pairwise(edges)]
    return found, reasons


def _why_alone(spec: JobSpec) -> str | None:
    if spec.library != "pytorch":
        return f"library {spec.library!r}: only PyTorch's models can be stacked"
    if spec.checkpoint_seconds is not None:
        return "checkpoint_seconds: a Job that keeps checkpoints trains by itself"
    if spec.checkpoint is not None and Path(spec.checkpoint).exists():
        return "it resumes from its checkpoint"
    return None


def _common(spec: JobSpec, shapes: dict[str, Any]) -> Hashable:
    """Return what Jobs of a group have in common."""
    names = ["label", *(f"feature_{i}" for i in range(spec.feature_count))]
    splits = [split for split in (spec.key_train, spec.key_evaluation) if split is not None]
    for folder in (spec.samples[split] for split in splits):
        if folder not in shapes:
            shapes[folder] = tuple(cache.load(folder, name).shape for name in names)
    chosen = {n: None if _is_number(v) else v for n, v in spec.hyperparameters.items()}
    return (
        tuple(sorted((role, payload or b"") for role, payload in spec.functions.items())),
        spec.analysis_type, spec.threads, spec.pruner,
        tuple((split, shapes[spec.samples[split]]) for split in splits),
        json.dumps(chosen, sort_keys=True, default=repr),
    )  # fmt: skip


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole_numbers(spec: JobSpec) -> list[tuple[str, int]]:
    """Return the numbers that may be sizes, as neurons and epochs: stacks often differ in them."""
    chosen = spec.hyperparameters.items()
    return sorted((name, v) for name, v in chosen if isinstance(v, int) and _is_number(v))
