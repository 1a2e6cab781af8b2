"""Measure the importance of columns and the intervals of metrics of a Prediction."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from aiqc_core import counts
from aiqc_core.errors import SelectionError, TrainingError
from aiqc_core.orm.samples import cache as samples_cache
from aiqc_core.orm.samples.split_inputs import grouped_by
from aiqc_core.orm.training import spec as training_spec
from aiqc_core.seeds import derive
from aiqc_core.stages.evaluate import bootstrap, metrics
from aiqc_core.stages.evaluate.importance import ranked
from aiqc_core.stages.train.trained_model import StoredModel
from aiqc_core.storage import cache

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aiqc_core.orm.tables.prediction import Prediction
    from aiqc_core.orm.tables.predictor import Predictor
    from aiqc_core.stages.train.spec import JobSpec

logger = logging.getLogger(__name__)

IMPORTANCE_COLUMNS = ("feature_id", "column", "median", "mean", "pstdev")


def splits_of(prediction: Prediction, split_name: str | None) -> list[str]:
    """Return the split asked for, or all that have metrics."""
    known = [split for split, values in prediction.metrics.items() if values]
    if not known:
        message = f"Prediction {prediction.id} has no metrics: its samples came without a label."
        raise SelectionError(message)
    if split_name is None:
        return known
    if split_name not in known:
        raise SelectionError(f"split_name: {split_name!r} is none of {known}.")
    return [split_name]


def spec_of(predictor: Predictor) -> JobSpec:
    """Return the specification of a Predictor's training, with its samples in the cache."""
    job = predictor.job
    folder = samples_cache.ensure(job.queue.splitset, job.fold)
    return training_spec.spec_over(
        job, predictor.repeat_index, folder, predictor.fitted_preprocessing
    )


def calc_featureImportance(
    prediction: Prediction, permute_count: int, split_name: str | None = None
) -> dict[str, dict[str, dict[str, Any]]]:
    """Measure how much the loss of the stored model grows when a column is permuted.

    The encoded columns of a column move together; in sequences and windows a column's whole
    series moves between samples. Images have no columns and are left out, which the log says.
    Permutations follow from the Predictor's seed, so the same call gives the same numbers.

    Args:
        permute_count: permutations of each column; the importance is the median over them.
        split_name: the split to permute; by default the one that trained, as during training.
            Only that one is stored in `feature_importance`.

    Returns:
        `{feature id: {column: {median, loss_impacts}}}`; positive matters.

    Raises:
        AlgorithmError: not a whole number of at least 1.
        SelectionError: no such split.
    """
    count = counts.whole("permute_count", permute_count, least=1)
    if prediction.splitset is not None:
        raise SelectionError(
            f"calc_featureImportance: Prediction {prediction.id} is of new data (Splitset "
            f"{prediction.splitset_id}). Use that of the training, predictor.prediction."
        )
    predictor, spec = prediction.predictor, spec_of(prediction.predictor)
    (split,) = splits_of(prediction, split_name or spec.key_train)
    feature_ids = predictor.job.queue.splitset.feature_ids
    groups = zip(feature_ids, spec.column_groups, strict=True)
    skipped = [feature_id for feature_id, columns in groups if columns is None]
    if skipped:
        logger.warning(
            "Prediction %d: Features %s are images, or reshaped: they have no columns that could "
            "be permuted, and are left out.", prediction.id, skipped,
        )  # fmt: skip
    if len(skipped) == len(feature_ids):
        return {}
    stored = StoredModel.of(
        spec, predictor.model_file, predictor.features_shapes, predictor.label_shape
    )
    measured = stored.importance(spec, split, count)
    found = {str(feature_ids[index]): columns for index, columns in measured.items()}
    if found and split_name in {None, spec.key_train}:
        prediction.feature_importance, prediction.permute_count = found, count
        prediction.save(only=["feature_importance", "permute_count", "time_updated"])
    return found


def importance_df(
    prediction: Prediction, top_n: int | None = None, feature_id: int | None = None
) -> pd.DataFrame:
    """Return the columns by importance, the highest median first.

    Args:
        top_n: only so many columns.
        feature_id: only those of this Feature.

    Returns:
        `feature_id, column, median, mean, pstdev` (of the loss impacts).

    Raises:
        TrainingError: no importance was measured.
        SelectionError: no such Feature among those that were measured, or `top_n` below 1.
    """
    measured = measured_importance(prediction)
    known = [int(key) for key in measured]
    if feature_id is not None and str(feature_id) not in measured:
        message = f"feature_id: {feature_id!r}; importance was measured of Features {known}."
        raise SelectionError(message)
    if top_n is not None:
        counts.whole("top_n", top_n, least=1)
    wanted = known if feature_id is None else [feature_id]
    chosen = {key: measured[str(key)] for key in wanted}
    return pd.DataFrame(ranked(chosen)[:top_n], columns=list(IMPORTANCE_COLUMNS))


def measured_importance(prediction: Prediction) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the stored importance of each column by Feature id, or refuse where none is."""
    if not prediction.feature_importance:
        raise TrainingError(
            f"Prediction {prediction.id} has no feature importance: its Queue's permute_count was "
            "0, or no Feature has columns to permute, such as images. Run "
            "prediction.calc_featureImportance(3)."
        )
    return prediction.feature_importance


def metrics_interval(
    prediction: Prediction,
    split_name: str | None = None,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int | None = None,
) -> pd.DataFrame:
    """Return the bootstrap interval of each metric, from what is stored.

    Samples are drawn with replacement; with `groups`, whole groups; ordered by time or
    windowed, runs of neighbours, which wrap around. The interval runs between percentiles of
    the metric over the draws (Efron & Tibshirani 1993, section 13.3). It shows what another
    draw of samples would change, not another training.

    Args:
        split_name: one split; all by default.
        level: the share of intervals that hold the truth in the long run.
        resamples: how many draws; more make the ends steadier.
        seed: of the draws; by default it follows from the Predictor's.

    Returns:
        A row for each metric of each split: `split, metric, value, low, high, level,
        resamples` (over how many it is), `undefined` (how many more gave NaN: a class was not
        drawn), `note` (such as why there is no interval) and `drawn` (what was drawn). The loss
        has none, since the model's outputs are not stored. The last column of a binary
        analysis, `positive`, is the class that precision, recall and f1 are of.

    Raises:
        SelectionError: no such split, or a level or count out of range.
    """
    bootstrap.checked(level, resamples)
    splits = splits_of(prediction, split_name)
    spec = spec_of(prediction.predictor)
    drawn_from = derive(spec.seed, "interval") if seed is None else counts.seed(seed)
    predictions, probabilities = prediction.predictions, prediction.probabilities or {}
    rows: list[dict[str, Any]] = []
    new = prediction.splitset
    for split in splits:
        folder = spec.samples[split] if new is None else samples_cache.ensure(new, None) / split
        order, units = _order_and_units(prediction, split)
        share = probabilities.get(split)
        score = metrics.record_scorer(
            spec.analysis_type,
            spec.label,
            np.asarray(cache.load(folder, "label"))[order],
            predictions[split][order],
            None if share is None else share[order],
        )
        found = bootstrap.intervals(
            score, len(order), prediction.metrics[split], units=units, level=level,
            resamples=resamples, seed=derive(drawn_from, split),
        )  # fmt: skip
        rows += [{"split": split} | asdict(i) | {"drawn": units.name} for i in found]
    frame = pd.DataFrame(rows)
    frame.insert(5, "level", level)
    positive = prediction.predictor.positive_class
    if positive is not None:
        frame.attrs["positive"] = frame["positive"] = positive
    return frame


def _order_and_units(
    prediction: Prediction, split: str
) -> tuple[NDArray[np.int64], bootstrap.Units]:
    """Return the samples of a split in the order in which they are drawn, and what is drawn."""
    job = prediction.predictor.job
    splitset = prediction.splitset or job.queue.splitset
    positions = (prediction.splitset or job.fold or splitset).positions()[split]
    as_they_are = np.arange(len(positions))
    if splitset.groups is not None:
        values = grouped_by(splitset.features, splitset.label, splitset.groups)
        return as_they_are, bootstrap.grouped(values[positions], splitset.groups)
    overlap = 1  # how many windows in a row share rows, their targets included
    for rule in (row.rule() for feature in splitset.features for row in feature.windows):
        length = rule.size_window + rule.size_shift * rule.record_shifted
        overlap = max(overlap, -(-length // rule.size_shift))
    if splitset.time_ordered or overlap > 1:
        return np.argsort(positions), bootstrap.runs(len(positions), overlap)
    return as_they_are, bootstrap.Units()
