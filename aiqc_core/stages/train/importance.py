"""Permutation importance of a model that is trained already, on any of its splits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiqc_core.seeds import derive
from aiqc_core.stages.evaluate.importance import permutation_importance
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
    """Return how much the loss of a trained model grows when a column is permuted.

    On the training split it is what training itself would have measured: the permutations follow
    from the training's seed.

    Args:
        spec: of the training.
        model: the trained model as it is stored.
        features_shapes: of one sample of each feature.
        label_shape: of what the model gives for one sample.
        split: whose samples are permuted.
        permute_count: permutations of each column.

    Returns:
        See `evaluate.importance.permutation_importance`.
    """
    folder = spec.samples[split]
    arrays = [cache.load(folder, f"feature_{i}") for i in range(spec.feature_count)]
    stored = StoredModel(
        spec.library, spec.analysis_type, spec.functions, spec.hyperparameters, spec.seed,
        model, features_shapes, label_shape, spec.label, spec.sources, spec.threads,
    )  # fmt: skip
    backend = get_backend(spec.library)
    with backend.isolated(spec.threads):
        judge = stored.load()
        (target,) = backend.from_arrays([cache.load(folder, "label")])
        return permutation_importance(
            arrays,
            spec.column_groups,
            lambda parts: backend.loss(
                judge.model, judge.loser, backend.from_arrays(parts), target
            ),
            permute_count=permute_count,
            seed=derive(spec.seed, "permute"),
        )
