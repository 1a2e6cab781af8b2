"""Load a stored model, ready to predict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiqc_core.orm.samples.target import target_of
from aiqc_core.stages.train import run
from aiqc_core.stages.train.trained_model import StoredModel

if TYPE_CHECKING:
    from aiqc_core.orm.tables.predictor import Predictor


def get_model(predictor: Predictor) -> Any:
    """Return the trained model, ready to use on the CPU.

    Returns:
        The Keras model, compiled with its optimizer's state; for PyTorch `(model, optimizer)`,
        the model in eval mode.
    """
    algorithm = predictor.job.queue.algorithm
    return run.load_model(
        algorithm.library,
        algorithm.payloads(),
        predictor.model_file,
        predictor.features_shapes,
        predictor.label_shape,
        predictor.job.hyperparameters,
        seed=predictor.seed,
    )


def stored(predictor: Predictor) -> StoredModel:
    """Return everything needed to predict with this model, as a value."""
    queue = predictor.job.queue
    fitted: Any = predictor.fitted_preprocessing
    return StoredModel(
        library=queue.algorithm.library,
        analysis_type=queue.algorithm.analysis_type,
        functions=queue.algorithm.payloads(),
        hyperparameters=predictor.job.hyperparameters,
        seed=predictor.seed,
        model=predictor.model_file,
        features_shapes=predictor.features_shapes,
        label_shape=predictor.label_shape,
        label=target_of(queue.splitset, fitted),
        sources=queue.algorithm.sources,
        outputs=predictor.outputs,
    )
