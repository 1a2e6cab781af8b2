"""Preprocess and cache the samples of a Splitset, and look for leaks among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.orm.samples import cache, leaks
from aiqc_core.stages.split import leaks as split_leaks

if TYPE_CHECKING:
    from aiqc_core.orm.tables.splitset import Splitset


def cache_samples(splitset: Splitset) -> None:
    """Write the preprocessed samples of every split and Fold that are not cached yet."""
    loaded: dict[int, Any] = {}
    for fold in splitset.parts():
        cache.keep(splitset, fold, loaded)
    if splitset.near_duplicates is None and splitset.features[0].dataset.typ == "tabular":
        splitset.near_duplicates = near_duplicates(splitset, loaded)
        splitset.save(only=["near_duplicates", "time_updated"])
    is_checked = (splitset.given_away or {}).get(leaks.READ)
    if splitset.predictor_id is None and not is_checked:
        found = leaks.now(splitset, loaded)
        leaks.warn(found, splitset.given_away)
        splitset.given_away = found
        splitset.save(only=["given_away", "time_updated"])


def near_duplicates(splitset: Splitset, loaded: dict[int, Any]) -> dict[str, int] | None:
    """Count the rows of each split that equal one of train after rounding; None but for tables."""
    features = splitset.features
    if any(f.recipe().windows is not None or f.dataset.typ != "tabular" for f in features):
        return None
    codes = [leaks.codes_of(cache.values_of(feature, loaded)) for feature in features]
    return split_leaks.near_duplicates(
        codes[0] if len(codes) == 1 else np.hstack(codes), splitset.positions()
    )
