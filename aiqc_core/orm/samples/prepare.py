"""Prepare the samples of a Splitset: preprocess, cache, and look for leaks among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiqc_core.orm.samples import leaks
from aiqc_core.orm.samples.cache import ensure
from aiqc_core.orm.samples.split_inputs import near_duplicates

if TYPE_CHECKING:
    from aiqc_core.orm.tables.splitset import Splitset


def cache_samples(splitset: Splitset) -> None:
    """Write the preprocessed samples of every split and Fold; what is there whole is kept."""
    loaded: dict[int, Any] = {}
    for fold in splitset.parts():
        ensure(splitset, fold, loaded)
    if splitset.near_duplicates is None and splitset.features[0].dataset.typ == "tabular":
        splitset.near_duplicates = near_duplicates(splitset.features, splitset.positions(), loaded)
        splitset.save(only=["near_duplicates", "time_updated"])
    if not leaks.is_read(splitset):
        splitset.given_away = leaks.complete(splitset, loaded)
        splitset.save(only=["given_away", "time_updated"])
