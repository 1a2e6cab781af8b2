"""A model in use, just trained or loaded again, and what turns its outputs into predictions."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.analysis import AnalysisType
from aiqc_core.errors import TrainingError
from aiqc_core.seeds import derive
from aiqc_core.stages.evaluate.importance import permutation_importance
from aiqc_core.stages.train import scoring
from aiqc_core.stages.train.backends.base import Backend, get_backend
from aiqc_core.stages.train.functions import capture as functions
from aiqc_core.stages.train.outputs import STATED, Meaning, meaning
from aiqc_core.storage import cache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from aiqc_core.stages.preprocess.pipeline import FittedLabel
    from aiqc_core.stages.preprocess.samples import Target
    from aiqc_core.stages.train.scoring import SplitScores
    from aiqc_core.stages.train.spec import JobSpec

    # The samples part by part, each part an array a feature; it is walked more than once.
    Parts = Iterable[list[NDArray[Any]]]


@dataclass(slots=True)
class Evaluator:
    """Predicts with a model, and scores its predictions.

    Attributes:
        fn_predict: the user's function; None for the default.
        label: what was fitted on the label, or on the feature that is its own target.
        stated: what the user says that the outputs are, if anything.
        meaning: what they are; where it is not given, the first samples that are predicted decide.
    """

    backend: Backend
    model: Any
    loser: Any
    fn_predict: Callable[..., Any] | None
    analysis_type: str
    label: FittedLabel | Target
    stated: str | None = None
    meaning: Meaning | None = None

    def score(self, parts: Parts, encoded: NDArray[Any]) -> SplitScores:
        """Return predictions and their metrics; `encoded` is the label as the model sees it.

        Raises:
            TrainingError: what the model gives is no prediction.
            ValueError: label and output have shapes that would broadcast.
        """
        output = self._outputs(parts)
        (target,) = self.backend.from_arrays([encoded])
        self.backend.inform(self.loser, self._kind(parts, output))
        loss = self.backend.loss_of(self.model, self.loser, output, target)
        raw = self._predictions(parts, lambda: output)
        return scoring.score(self.analysis_type, self.label, raw, encoded, loss)

    def predict(self, parts: Parts, label_shape: tuple[int, ...]) -> SplitScores:
        """Return predictions of unlabelled samples, `label_shape` for each, without metrics."""
        raw = self._predictions(parts, lambda: self._outputs(parts))
        return scoring.unscored(self.analysis_type, self.label, raw, label_shape)

    def importance(
        self, arrays: list[NDArray[Any]], encoded: NDArray[Any], spec: JobSpec, permute_count: int
    ) -> dict[int, dict[str, dict[str, Any]]]:
        """Return how much the loss grows when a column is permuted; see `permutation_importance`.

        The permutations follow from the training's seed.
        """
        backend = self.backend
        (target,) = backend.from_arrays([encoded])

        def loss(parts: Sequence[NDArray[Any]]) -> float:
            return backend.loss(self.model, self.loser, backend.from_arrays(parts), target)

        seed = derive(spec.seed, "permute")
        return permutation_importance(
            arrays, spec.column_groups, loss, permute_count=permute_count, seed=seed
        )

    def _outputs(self, parts: Parts) -> NDArray[Any]:
        given = [self.backend.outputs(self.model, features) for features in self._copies(parts)]
        return given[0] if len(given) == 1 else np.concatenate(given)

    def _predictions(self, parts: Parts, outputs: Callable[[], NDArray[Any]]) -> tuple[Any, Any]:
        with self.backend.in_use(self.model):
            batches = (self.backend.batches(self.model, part) for part in self._copies(parts))
            return scoring.predict(
                self.analysis_type, self.fn_predict, self.model, chain.from_iterable(batches),
                outputs, kind=lambda output: self._kind(parts, output),
            )  # fmt: skip

    def _kind(self, parts: Parts, output: NDArray[Any]) -> str | None:
        """Return what the outputs mean; see `meaning`."""
        if self.meaning is None:
            last, takes = None, self.backend.loss_takes(self.loser)
            if self.analysis_type != AnalysisType.REGRESSION and self.stated is None:
                last = self.backend.last_activation(self.model, next(self._copies(parts)))
            self.meaning = meaning(self.analysis_type, output, self.stated, last, takes)
        return self.meaning.kind

    def _copies(self, parts: Parts) -> Iterator[list[Any]]:
        """Yield copies: each reader has its own, as user code may change them."""
        return map(self.backend.from_arrays, parts)


@dataclass(frozen=True, slots=True)
class StoredModel:
    """All that it takes to use a model that was trained earlier; see `JobSpec`.

    Attributes:
        seed: of the training; `fn_build` draws the weights that the stored ones replace.
        model: as `Backend.save` gave it.
        features_shapes: of one sample, of each feature when there are several.
        label_shape: of what the model gives for one sample.
        outputs: what the training found that they are: `{kind, how}`; None of earlier versions.
    """

    library: str
    analysis_type: str
    functions: Mapping[str, bytes | None]
    hyperparameters: Mapping[str, Any]
    seed: int
    model: bytes
    features_shapes: Any
    label_shape: tuple[int, ...]
    label: FittedLabel | Target
    sources: Mapping[str, str | None] = field(default_factory=dict)
    threads: int = 1
    outputs: Mapping[str, Any] | None = None

    @classmethod
    def of(
        cls, spec: JobSpec, model: bytes, features_shapes: Any, label_shape: tuple[int, ...],
        outputs: Mapping[str, Any] | None = None,
    ) -> StoredModel:  # fmt: skip
        """Return the model of a training."""
        return cls(
            spec.library, spec.analysis_type, spec.functions, spec.hyperparameters, spec.seed,
            model, features_shapes, label_shape, spec.label, spec.sources, spec.threads, outputs,
        )  # fmt: skip

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of one sample of each feature."""
        return shapes_of(self.features_shapes)

    def load(self) -> Evaluator:
        """Load the model, on the CPU."""
        backend, label, given = get_backend(self.library), self.label, self.hyperparameters
        user = restore_functions(self.functions, self.sources)
        backend.seed(self.seed)
        make = makers(backend, user, self.features_shapes, self.label_shape, given)
        loaded = backend.load(self.model, *make)
        model = loaded if backend.is_model(loaded) else loaded[0]
        known = None if self.outputs is None else Meaning(**self.outputs)
        stated = known.kind if known is not None and known.how == STATED else None
        encoder = getattr(label, "encoder", None)
        width = (
            len(getattr(label, "columns", ()) if encoder is None else encoder.output_columns) or 1
        )
        loser = loser_of(backend, user["fn_lose"], self.analysis_type, width, given, stated)
        if known is not None:
            backend.inform(loser, known.kind)
        predict = user["fn_predict"]
        return Evaluator(backend, model, loser, predict, self.analysis_type, label, meaning=known)

    def score(
        self, parts: Parts, encoded: NDArray[Any] | None = None, evaluator: Evaluator | None = None
    ) -> SplitScores:
        """Predict samples, and score the predictions where `encoded`, their label, is known.

        Generators, thread counts and memory stay as they were. `evaluator` is the loaded model.
        """
        with get_backend(self.library).isolated(self.threads):
            used = evaluator or self.load()
            if encoded is None:
                return used.predict(parts, self.label_shape)
            return used.score(parts, encoded)

    def importance(
        self, spec: JobSpec, split: str, permute_count: int
    ) -> dict[int, dict[str, dict[str, Any]]]:
        """Return how much the loss grows when a column of a split is permuted.

        On the training split it is what training itself would have measured.
        """
        folder = spec.samples[split]
        arrays = [cache.load(folder, f"feature_{i}") for i in range(spec.feature_count)]
        with get_backend(self.library).isolated(self.threads):
            encoded = cache.load(folder, "label")
            return self.load().importance(arrays, encoded, spec, permute_count)


def shapes_of(features_shapes: Any) -> list[tuple[int, ...]]:
    """Return the shape of one sample of each feature, as a list of one feature too."""
    if isinstance(features_shapes, list):
        return [tuple(shape) for shape in features_shapes]
    return [tuple(features_shapes)]


def restore_functions(
    payloads: Mapping[str, bytes | None], sources: Mapping[str, str | None] | None = None
) -> dict[str, Any]:
    """Return the user's functions by role; None where the default is used."""
    return {
        role: None if payload is None else functions.restore(payload, (sources or {}).get(role))
        for role, payload in payloads.items()
    }


def makers(
    backend: Backend, user: Mapping[str, Any], features_shapes: Any, label_shape: tuple[int, ...],
    hyperparameters: Mapping[str, Any],
) -> tuple[Callable[[], Any], Callable[[Any], Any]]:  # fmt: skip
    """Return functions that make the model again, ready for stored weights, and its optimizer."""

    def build() -> Any:
        model = user["fn_build"](features_shapes, label_shape, **hyperparameters)
        return backend.rebuilt(model, shapes_of(features_shapes))

    return build, lambda model: backend.optimizer(user["fn_optimize"], model, hyperparameters)


def loser_of(
    backend: Backend, fn_lose: Callable[..., Any] | None, analysis_type: str, label_width: int,
    hyperparameters: Mapping[str, Any], stated: str | None = None,
) -> Any:  # fmt: skip
    """Return the user's loss, or the default one for what the outputs are stated to be."""
    if fn_lose is None:
        return backend.default_lose(analysis_type, label_width, stated)
    loser = fn_lose(**hyperparameters)
    if not backend.is_loss(loser):
        given = f"the class {loser.__name__}" if isinstance(loser, type) else repr(loser)[:60]
        raise TrainingError(
            f"fn_lose: returned {given}; return the loss, a function, or an object as "
            "nn.BCELoss() or keras.losses.MeanSquaredError()."
        )
    return loser
