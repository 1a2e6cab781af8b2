"""The stages from the source to cached samples."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from aiqc_core.errors import SelectionError
from aiqc_core.experiment.workflow import versions
from aiqc_core.experiment.workflow.versions import find_or_make, row_of
from aiqc_core.orm import (
    Dataset,
    Feature,
    FeatureCoder,
    FeatureInterpolater,
    FeatureShaper,
    Label,
    LabelCoder,
    LabelInterpolater,
    Snapshot,
    Splitset,
    Window,
)
from aiqc_core.orm.samples import cache
from aiqc_core.orm.tables.label import positive_of
from aiqc_core.stages.ingest.content import NDIM, SEQUENCE
from aiqc_core.wording import did_you_mean, dotted, reworded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiqc_core.experiment import Experiment, Pipeline
    from aiqc_core.wording import Place

logger = logging.getLogger(__name__)


def dataset(experiment: Experiment, snapshot: str) -> Dataset:
    """Register the source's present content; unchanged content gives the same row.

    Labels in a table of their own are registered too, see `label_dataset`.
    """
    about: dict[str, Any] = {"name": experiment.name, "description": experiment.description}
    refuse_no_class(experiment)
    if isinstance(experiment.source, Path):
        row = target = Dataset.Tabular.from_path(experiment.source, **about)
        refuse_unknown(experiment.pipeline, row.columns, row.columns)
    else:
        found = experiment.load()
        named = _names_of(found.values)
        of_label = named if found.labels is None else _names_of(found.labels)
        refuse_unknown(experiment.pipeline, named, of_label)
        row = target = _registered(found.values, about)
        if found.labels is not None:
            about["name"] = f"{experiment.name}/label"
            target = Dataset.Tabular.from_df(found.labels, **about)
    known = Snapshot.get_or_none(experiment=experiment.name, key=snapshot)
    before = None if known is None else known.rows.get("dataset")
    if before not in {None, row.id}:
        logger.warning(
            "snapshot %s of %s stood for Dataset %d and now stands for Dataset %d, as the source "
            "has changed; give changed content a snapshot of its own to keep both.",
            snapshot, experiment.name, before, row.id,
        )  # fmt: skip
    Snapshot.put(experiment.name, snapshot, "dataset", row)
    Snapshot.put(experiment.name, snapshot, "label_dataset", target)
    return row


def label_dataset(experiment: Experiment, snapshot: str) -> Dataset:
    """Return the Dataset that holds the label: the experiment's own where it is a table."""
    return row_of(experiment, snapshot, Dataset, "label_dataset")


def feature(experiment: Experiment, snapshot: str) -> Feature:
    """Choose the columns to learn from, and attach how they are preprocessed."""
    source = row_of(experiment, snapshot, Dataset, "dataset")
    pipeline = experiment.pipeline
    holds_label = label_dataset(experiment, snapshot).id == source.id
    held_out = pipeline.label_columns if holds_label else []

    def make() -> Feature:
        excluded = None if pipeline.features is not None else held_out or None
        row = Feature.from_dataset(source.id, pipeline.features, excluded)
        for i, fill in enumerate(pipeline.interpolations):
            with reworded(f"pipeline.interpolations[{i}]"):
                FeatureInterpolater.from_feature(
                    row.id, fill.process_separately, fill.interpolate_kwargs, fill.dtypes,
                    fill.columns, verbose=False,
                )  # fmt: skip
        for i, coder in enumerate(pipeline.feature_encoders):
            with reworded(f"pipeline.feature_encoders[{i}]"):
                filters = coder.include, coder.dtypes, coder.columns
                FeatureCoder.from_feature(row.id, coder.encoder, *filters, verbose=False)
        if (window := pipeline.window) is not None:
            with reworded("pipeline.window"):
                Window.from_feature(row.id, window.size_window, window.size_shift)
        if pipeline.reshape_indices is not None:
            with reworded("pipeline.reshape_indices"):
                FeatureShaper.from_feature(row.id, pipeline.reshape_indices)
        return row

    coders, fills, shape = versions.of_feature(pipeline, "key")
    parts = [source.id, pipeline.features, held_out, coders, fills, *shape]
    return find_or_make(experiment, snapshot, Feature, "feature", parts, make)


def label(experiment: Experiment, snapshot: str) -> Label:
    """Choose the column to predict and attach its interpolater and encoder."""
    source = label_dataset(experiment, snapshot)
    pipeline = experiment.pipeline
    fill = pipeline.label_interpolation

    def make() -> Label:
        with reworded("pipeline.label"):
            row = Label.from_dataset(source.id, pipeline.label_columns, pipeline.positive)
        if fill is not None:
            with reworded("pipeline.label_interpolation"):
                how = fill.process_separately, fill.interpolate_kwargs
                LabelInterpolater.from_label(row.id, *how)
        if pipeline.label_encoder is not None:
            with reworded("pipeline.label_encoder"):
                LabelCoder.from_label(row.id, pipeline.label_encoder)
        return row

    coder, filled, positive = versions.of_label(pipeline, "key")
    parts = [source.id, pipeline.label_columns, coder, filled, *positive]
    return find_or_make(experiment, snapshot, Label, "label", parts, make)


def splitset(experiment: Experiment, snapshot: str) -> Splitset:
    """Cut the samples into splits and folds."""
    features = row_of(experiment, snapshot, Feature, "feature")
    has_label = bool(experiment.pipeline.label_columns)
    label_id = row_of(experiment, snapshot, Label, "label").id if has_label else None
    cut = versions.of_splitset(experiment)
    return find_or_make(
        experiment, snapshot, Splitset, "splitset", [features.id, label_id, cut],
        lambda: Splitset.make([features.id], label_id=label_id, **cut),
    )  # fmt: skip


def samples(experiment: Experiment, snapshot: str, fold_key: str) -> tuple[Splitset, Path]:
    """Cache the preprocessed samples of one fold; return its Splitset and the folder."""
    row = row_of(experiment, snapshot, Splitset, "splitset")
    folds = dict(zip(experiment.fold_keys(), row.parts(), strict=True))
    return row, cache.keep(row, folds[fold_key])


def _names_of(values: Any) -> list[str] | None:
    return list(map(str, values)) if isinstance(values, pd.DataFrame) else None


def _registered(values: Any, about: dict[str, Any]) -> Dataset:
    if isinstance(values, pd.DataFrame):
        return Dataset.Tabular.from_df(values, **about)
    kind = Dataset.Sequence if values.ndim == NDIM[SEQUENCE] else Dataset.Image
    return kind.from_numpy(values, **about)


def refuse_no_class(experiment: Experiment) -> None:
    """Refuse a positive class that the label does not have, as `Label.from_dataset` does."""
    pipeline = experiment.pipeline
    if pipeline.positive is None:
        return
    found = experiment.load()
    table = found.values if found.labels is None else found.labels
    if isinstance(table, pd.DataFrame) and set(pipeline.label_columns) <= {*table.columns}:
        positive_of(table.loc[:, pipeline.label_columns], pipeline.positive)


def refuse_unknown(
    pipeline: Pipeline, of_features: list[str] | None, of_label: list[str] | None
) -> None:
    """Raise SelectionError with a line for each column that is not there; None for no names."""
    found = list(unknown(pipeline.model_dump(), of_features, of_label))
    if found:
        raise SelectionError("\n".join(f"{dotted(place)}: {message}" for place, message in found))


def unknown(
    pipeline: Any, of_features: list[str] | None, of_label: list[str] | None
) -> Iterator[tuple[Place, str]]:
    """Yield each place of a pipeline, as written, that names a column which is not there."""
    if not isinstance(pipeline, dict):
        return
    places: list[tuple[Place, Any, list[str] | None]] = [
        ((key,), pipeline.get(key), of_label if key == "label" else of_features)
        for key in ("label", "groups", "unsupervised_stratify_col", "features")
    ]
    for key in ("feature_encoders", "interpolations"):
        steps = pipeline.get(key)
        for i, step in enumerate(steps if isinstance(steps, list) else []):
            if isinstance(step, dict):
                places.append(((key, i, "columns"), step.get("columns"), of_features))
    for place, named, known in places:
        for name in named if isinstance(named, list) else [named]:
            if known is not None and isinstance(name, str) and name not in known:
                yield ("pipeline", *place), f"no column {name!r}. {did_you_mean(name, known)}"
