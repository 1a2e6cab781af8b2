"""Check registered and cached data; nothing is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiqc_core.errors import NotFoundError
from aiqc_core.orm.lineage import facts as lineage_facts
from aiqc_core.orm.samples import cache as samples_cache
from aiqc_core.orm.samples import leaks
from aiqc_core.orm.samples.prepare import near_duplicates
from aiqc_core.stages.evaluate import checks, leakage
from aiqc_core.stages.evaluate.checks import Finding
from aiqc_core.stages.preprocess.pipeline import FeaturePlan
from aiqc_core.stages.preprocess.samples import FeatureRecipe
from aiqc_core.storage import cache

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from aiqc_core.orm import Dataset, Fold, Splitset
    from aiqc_core.stages.preprocess.window import Windows


def source_unchanged(datasets: Sequence[Dataset]) -> Finding:
    """Hash the stored bytes of Datasets again, or their sources outside of the store."""
    return checks.joined(*lineage_facts.contents_now(datasets))


def rows_apart(splitset: Splitset) -> Finding:
    """Check that the splits share no sample, and report what they share or give away."""
    loaded: dict[int, Any] = {}
    found = checks.rows_apart(leaks.parts_of(splitset), _windows(splitset))
    similar = near_duplicates(splitset, loaded) or {}
    facts = {f"near duplicates of train in {split}": count for split, count in similar.items()}
    whole = checks.joined(found, checks.given_away(*leaks.findings(leaks.now(splitset, loaded))))
    return Finding(whole.verdict, whole.summary, whole.facts | facts)


def every_class(splitset: Splitset) -> Finding:
    """Check that each split of each Fold has each class of the Label."""
    if splitset.label is None:
        return Finding(checks.PASSED, "There is no label.", {"classes": 0})
    return checks.every_class(splitset.label.to_df(), leaks.parts_of(splitset))


def no_leak(splitset: Splitset, fold: Fold | None) -> Finding:
    """Fit the preprocessing of a Fold again on its training rows alone, and compare.

    Raises:
        NotFoundError: its samples are not cached.
    """
    row = fold or splitset
    splits = row.positions()
    folder = _cached(splitset, fold)
    if row.fitted is None:
        return Finding(checks.FAILED, "There are cached samples, but no fit is stored.")
    stored = _stored(splitset, row.fitted, folder / next(iter(splits)))
    fits = checks.fits_apart([leakage.compare(each, splits) for each in stored])
    name = "no_fold" if fold is None else f"fold_{fold.idx}"
    return checks.joined(fits, checks.rows_apart({name: splits}, _windows(splitset)))


def no_nan(splitset: Splitset, fold: Fold | None) -> Finding:
    """Look for NaN and infinite values in the cached samples of a Fold.

    Raises:
        NotFoundError: its samples are not cached.
    """
    folder = _cached(splitset, fold)
    names = ["label", *(f"feature_{i}" for i in range(len(splitset.feature_ids)))]
    return checks.no_nan(
        (f"{split}/{name}", cache.load(folder / split, name))
        for split in (fold or splitset).positions()
        for name in names
    )


def _windows(splitset: Splitset) -> Windows | None:
    rules = (feature.recipe().windows for feature in splitset.features)
    return next((rule for rule in rules if rule is not None), None)


def _cached(splitset: Splitset, fold: Fold | None) -> Path:
    """Return the folder of a Fold's samples; building it would repair what is checked."""
    folder = samples_cache.find(splitset, fold)
    if folder is None:
        raise NotFoundError(
            f"the samples of Splitset {splitset.id} are not cached whole in "
            f"{samples_cache.folder_of(splitset, fold)}; materialise them, or call "
            "splitset.cache_samples(), and check again."
        )
    return folder


def _stored(splitset: Splitset, fitted: samples_cache.Fitted, train: Path) -> list[leakage.Stored]:
    target: Any = cache.load(train, "label")
    parts: list[leakage.Stored] = []
    for i, feature in enumerate(splitset.features):
        recipe = feature.recipe()
        arrays = [(False, cache.load(train, f"feature_{i}"))]
        if splitset.label is None:
            arrays.append((recipe.windows is not None and recipe.windows.record_shifted, target))
        values = feature.dataset.load(feature.columns, None)
        name = "features" if len(splitset.feature_ids) == 1 else f"features {i}"
        encoders = fitted.features[i].encoders
        parts.append(leakage.Stored(name, values, recipe, encoders, tuple(arrays)))
    if (label := splitset.label) is not None:
        step = label.step()
        plan = FeaturePlan(tuple(label.columns), () if step is None else (step,))
        recipe = FeatureRecipe(plan, label.fills())
        encoder = None if fitted.label is None else fitted.label.encoder
        encoders = () if encoder is None else (encoder,)
        parts.append(leakage.Stored("label", label.to_df(), recipe, encoders, ((False, target),)))
    return parts
