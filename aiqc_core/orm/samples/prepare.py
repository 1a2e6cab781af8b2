"""Preprocess and cache the samples of a Splitset, and look for leaks among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiqc_core.orm.samples import leaks
from aiqc_core.orm.samples.cache import ensure

if TYPE_CHECKING:
    from aiqc_core.orm.tables.splitset import Splitset


def cache_samples(splitset: Splitset) -> None:
    """Write the preprocessed samples of every split and Fold that are not cached yet."""
    loaded: dict[int, Any] = {}
    for fold in splitset.parts():
        ensure(splitset, fold, loaded)
    if splitset.near_duplicates is None and splitset.features[0].dataset.typ == "tabular":
        splitset.near_duplicates = leaks.near_duplicates(splitset, loaded)
        splitset.save(only=["near_duplicates", "time_updated"])
    if not leaks.is_complete(splitset):
        found = leaks.now(splitset, loaded)
        leaks.warn(found, splitset.given_away)
        splitset.given_away = found
        splitset.save(only=["given_away", "time_updated"])
