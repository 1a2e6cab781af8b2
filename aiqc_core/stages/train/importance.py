"""Permutation importance of a model that is trained already, on any of its splits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiqc_core.stages.train.backends.base import get_backend
from aiqc_core.stages.train.trained_model import StoredModel
from aiqc_core.storage import cache

if TYPE_CHECKING:
    from aiqc_core.stages.train.spec import JobSpec


def importance(
    spec: JobSpec,
    model: bytes,
    features_shapes: Any,
    label_shape: tuple[int, ...],
    *,
    split: str,
    permute_count: int,
) -> dict[int, dict[str, dict[str, Any]]]:
    """Return how much the loss of a trained model grows when a column of a split is permuted.

    On the training split it is what training itself would have measured; for the shapes see
    `StoredModel`.
    """
    folder = spec.samples[split]
    arrays = [cache.load(folder, f"feature_{i}") for i in range(spec.feature_count)]
    with get_backend(spec.library).isolated(spec.threads):
        evaluator = StoredModel.of(spec, model, features_shapes, label_shape).load()
        return evaluator.importance(arrays, cache.load(folder, "label"), spec, permute_count)
