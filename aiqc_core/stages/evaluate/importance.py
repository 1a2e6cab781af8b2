"""Permutation importance: how much the loss grows when a column is permuted."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.seeds import derive

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiqc_core.stages.preprocess.values import Array


def permutation_importance(
    features: Sequence[Array],
    groups: Sequence[Mapping[str, Sequence[int]] | None],
    loss: Callable[[list[Array]], float],
    *,
    permute_count: int,
    seed: int,
) -> dict[int, dict[str, dict[str, Any]]]:
    """Return how much the loss grows when a column is permuted; positive matters.

    Importance is the median over permutations of (loss with the column permuted - loss), after
    Breiman (2001), "Random Forests", section 10. The encoded columns of one column move together.

    `features` are `(samples, …, columns)`; `groups` has for each `{column: positions on the last
    axis}`, and None skips it. Each permutation derives a seed by feature, column and number.

    Returns:
        `{feature index: {column: {"median": …, "loss_impacts": […]}}}`.
    """
    baseline = loss(list(features))
    result: dict[int, dict[str, dict[str, Any]]] = {}
    for index, (feature, columns) in enumerate(zip(features, groups, strict=True)):
        if columns is None:
            continue
        result[index] = {}
        for name, positions in columns.items():
            impacts: list[float] = []
            for i in range(permute_count):
                generator = np.random.default_rng(derive(seed, index, name, i))
                order = generator.permutation(len(feature))
                changed = np.array(feature)
                changed[..., list(positions)] = feature[order][..., list(positions)]
                permuted = [changed if at == index else of for at, of in enumerate(features)]
                impacts.append(loss(permuted) - baseline)
            median = float(statistics.median(impacts))
            result[index][name] = {"median": median, "loss_impacts": impacts}
    return result


def ranked(
    importance: Mapping[int, Mapping[str, Mapping[str, Any]]],
) -> list[tuple[int, str, float, float, float]]:
    """Return columns by importance, the highest median first; NaN comes last.

    Each has its feature's id, name, median, and mean and population deviation of the loss impacts.
    """
    rows = [
        (feature, name, float(entry["median"]), float(np.mean(impacts)), float(np.std(impacts)))
        for feature, columns in importance.items()
        for name, entry in columns.items()
        if (impacts := entry["loss_impacts"])
    ]
    return sorted(rows, key=lambda row: (math.isnan(row[2]), -row[2]))
