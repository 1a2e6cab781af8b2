"""Detach a Predictor from its store: everything that it predicts with, as picklable values."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aiqc_core.orm.samples.cache import Fitted
    from aiqc_core.orm.tables.predictor import Predictor
    from aiqc_core.stages.preprocess.samples import FeatureRecipe
    from aiqc_core.stages.preprocess.window import Windows
    from aiqc_core.stages.train.trained_model import StoredModel


@dataclass(frozen=True, slots=True)
class _Source:
    """A Dataset; the attributes are the row's."""

    typ: str
    columns: list[str]
    shape: dict[str, int]
    sha256_hexdigest: str


@dataclass(frozen=True, slots=True)
class _Rule:
    """A Window's rule."""

    windows: Windows

    def rule(self) -> Windows:
        return self.windows


@dataclass(frozen=True, slots=True)
class _Feature:
    """A Feature; the attributes are the row's."""

    id: int
    columns: list[str]
    dataset: _Source
    dtypes: dict[str, str]
    windows: tuple[_Rule, ...]
    made: FeatureRecipe

    def get_dtypes(self) -> dict[str, str]:
        return self.dtypes

    def recipe(self) -> FeatureRecipe:
        return self.made


@dataclass(frozen=True, slots=True)
class Detached:
    """What a Predictor of one Feature and a Label predicts with, wherever its store is.

    `predict.scores_of` takes it in place of the row, and reads these attributes of the row.
    `splits` is empty unless blanks are filled: those of the very data that trained are filled as
    then.
    """

    id: int
    classes: tuple[Any, ...] | None
    features_shapes: Any
    fitted_preprocessing: Fitted
    model: StoredModel
    feature: _Feature
    label_columns: list[str]
    splits: dict[str, NDArray[np.int64]]
    time_ordered: bool
    notes: dict[str, dict[str, str]]

    def stored(self) -> StoredModel:
        """Return the model with its functions, as `Predictor.stored` does."""
        return self.model

    @property
    def job(self) -> Any:
        """The Job as far as a prediction reads it."""
        splitset = SimpleNamespace(
            features=[self.feature],
            label=SimpleNamespace(columns=self.label_columns),
            positions=lambda: self.splits,
            time_ordered=self.time_ordered,
        )
        algorithm = SimpleNamespace(analysis_type=self.model.analysis_type)
        queue = SimpleNamespace(splitset=splitset, algorithm=algorithm)
        return SimpleNamespace(queue=queue, fold=None)


def detached(predictor: Predictor | Detached) -> Detached:
    """Return a Predictor as values, read from its store; a detached one is returned as it is."""
    if isinstance(predictor, Detached):
        return predictor
    job = predictor.job
    splitset = job.queue.splitset
    (feature,) = splitset.features
    source, recipe, label = feature.dataset, feature.recipe(), splitset.label
    about = _Source(source.typ, source.columns, source.shape, source.sha256_hexdigest)
    rules = tuple(_Rule(window.rule()) for window in feature.windows)
    fitted: Any = predictor.fitted_preprocessing
    return Detached(
        id=predictor.id,
        classes=predictor.classes,
        features_shapes=predictor.features_shapes,
        fitted_preprocessing=fitted,
        model=predictor.stored(),
        feature=_Feature(feature.id, feature.columns, about, feature.get_dtypes(), rules, recipe),
        label_columns=[] if label is None else label.columns,
        splits=(job.fold or splitset).positions() if recipe.fills else {},
        time_ordered=splitset.time_ordered,
        notes=predictor.notes,
    )
