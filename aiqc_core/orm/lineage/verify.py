"""Do again what comes before a training, and compare it with what is stored; write nothing."""

from __future__ import annotations

import json
import platform
import warnings
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiqc_core.errors import AIQCError
from aiqc_core.orm.samples.split_inputs import grouped_by, stratified_by
from aiqc_core.stages.split.cut import OPTIONS, cut
from aiqc_core.stages.train import compare
from aiqc_core.stages.train.functions import capture
from aiqc_core.stages.train.functions.source import is_text_of
from aiqc_core.storage import cache

if TYPE_CHECKING:
    from collections.abc import Generator

    from aiqc_core.orm.tables.predictor import Predictor
    from aiqc_core.orm.tables.splitset import Splitset
    from aiqc_core.stages.train.compare import Comparison


def cut_apart(splitset: Splitset) -> Generator[str]:
    """Yield what differs when a Splitset is cut again."""
    features, label = splitset.features, splitset.label
    options: dict[str, Any] = {name: getattr(splitset, name) for name in (*OPTIONS, "seed")}
    by: str | None = options.pop("groups")
    column: str | None = options.pop("unsupervised_stratify_col")
    try:
        with quiet():
            made = cut(
                features[0].sample_count(),
                stratify_by=stratified_by(features, label, column),
                groups=None if by is None else grouped_by(features, label, by),
                **options | {"time_ordered": bool(options["time_ordered"])},
            )
    except AIQCError as error:
        yield f"Splitset {splitset.id} cannot be cut again: {error}"
        return
    pairs = [(f"Splitset {splitset.id}", splitset.positions(), made.splits)]
    pairs += [
        (f"fold {fold.idx}", fold.positions(), made.fold_splits(fold.idx))
        for fold in splitset.ordered_folds
    ]
    for called, stored, cut_again in pairs:
        for split in dict.fromkeys([*stored, *cut_again]):
            one, other = stored.get(split), cut_again.get(split)
            if one is None or other is None or one.tolist() != other.tolist():
                yield f"{split!r} of {called} holds other samples than its seed gives"


def samples_apart(kept: Path, built: Path, tolerance: float) -> tuple[int, Comparison]:
    """Compare cached samples with those built again; return how many arrays, and the result."""
    names = sorted(json.loads((built / cache.MANIFEST).read_text()))
    then, now = (
        {name: cache.load((side / name).parent, Path(name).stem) for name in names}
        for side in (kept, built)
    )
    return len(names), compare.compare(then, now, tolerance=tolerance)


def code_faults(predictor: Predictor) -> Generator[str]:
    """Yield which functions this store did not sign, or do not match their texts."""
    algorithm = predictor.job.queue.algorithm
    try:
        payloads = algorithm.payloads()
    except AIQCError as error:
        yield f"the functions of Algorithm {algorithm.id} cannot be used: {error}"
        return
    for role, payload in payloads.items():
        text = algorithm.sources.get(role)
        if payload is None or text is None:
            continue
        try:
            function = capture.restore(payload)
        except AIQCError as error:
            yield f"{role} of Algorithm {algorithm.id}: {error}"
            continue
        if not is_text_of(function, text):
            yield (
                f"{role} of Algorithm {algorithm.id} is another function than its stored text "
                "(algorithm.get_code()) says"
            )


def moved_versions(then: dict[str, str]) -> dict[str, list[str | None]]:
    """Return `{library: [version then, version now]}` of those that changed."""
    moved: dict[str, list[str | None]] = {}
    for name, version in then.items():
        now: str | None = None
        with suppress(metadata.PackageNotFoundError):
            now = platform.python_version() if name == "python" else metadata.version(name)
        if now != version:
            moved[name] = [version, now]
    return moved


@contextmanager
def quiet() -> Generator[None]:
    """Ignore warnings that the first cut and fit gave already."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
