"""Preprocess the samples of a Splitset and cache them.

A digest of all that shapes the samples (data, columns, coders, splits) names their folder. A coder
added later therefore names another folder, and stale samples are never used.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from aiqc_core import config
from aiqc_core.errors import PreprocessError, SelectionError
from aiqc_core.orm.samples import cache_replica, new_data
from aiqc_core.orm.store import blobs, signing
from aiqc_core.orm.store.database import metastore
from aiqc_core.orm.store.fields import digest_of
from aiqc_core.orm.tables.splitset import Splitset
from aiqc_core.stages.preprocess import pipeline, samples
from aiqc_core.stages.preprocess.values import row_major
from aiqc_core.stages.train.backends.base import get_backend
from aiqc_core.storage import cache

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from aiqc_core.orm.tables.feature import Feature
    from aiqc_core.orm.tables.label import Label
    from aiqc_core.orm.tables.predictor import Predictor
    from aiqc_core.orm.tables.splitset import Fold

FITTED_FILE = "fitted.bin"
KEY_CHARACTERS = 24
CACHE_FORMAT = 2


@dataclass(frozen=True, slots=True)
class Fitted:
    """The preprocessing fitted on the training rows of a Splitset or a Fold."""

    features: tuple[pipeline.FittedFeature, ...]
    label: pipeline.FittedLabel | None


def folder_of(splitset: Splitset, fold: Fold | None = None) -> Path:
    """Return the folder of a Splitset's samples, or of one Fold's (`no_fold` without Folds)."""
    root = config.samples_path() / recipe_key(splitset)
    if fold is None:
        return root if splitset.fold_count else root / "no_fold"
    return root / f"fold_{fold.idx}"


def recipe_key(splitset: Splitset) -> str:
    """Return the digest of everything that shapes the samples of a Splitset."""
    label = splitset.label
    recipe = {
        "format": CACHE_FORMAT,
        "key": None if signing.key() is None else signing.fingerprint(),  # it signs what is fitted
        "features": [_feature_key(feature) for feature in splitset.features],
        "label": label and _part_key(label, label.labelinterpolaters, label.labelcoders),
        "predictor": None if splitset.predictor is None else _predictor_key(splitset.predictor),
        "samples": digest_of(splitset, "samples"),
        "folds": [digest_of(fold, "samples") for fold in splitset.ordered_folds],
    }
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode())
    return digest.hexdigest()[:KEY_CHARACTERS]


def ensure(splitset: Splitset, fold: Fold | None, loaded: dict[int, Any] | None = None) -> Path:
    """Return the folder of one Fold's samples; make it where it is missing or incomplete.

    It is fetched from the object store (`AIQC_ARTIFACTS`) if another machine has built it, else
    built and published there. `loaded` holds values by the id of their Feature: pass the same
    dictionary for each Fold, to read the values once.
    """
    signing.fingerprint()  # makes the key of a store that has signed nothing yet
    folder = folder_of(splitset, fold)
    if not cache.is_whole(folder):
        config.make_samples_folder()
        with cache.lock(folder):
            if not cache.is_whole(folder) and not cache_replica.retrieve(folder):
                _build(splitset, fold, folder, {} if loaded is None else loaded)
                cache_replica.publish(folder)
    return folder


def keep(splitset: Splitset, fold: Fold | None, loaded: dict[int, Any] | None = None) -> Path:
    """Return the folder as `ensure` does, and store its fit with the Splitset or the Fold.

    For what writes rows: training and caching. Whoever only reads samples writes nothing.
    """
    folder, row = ensure(splitset, fold, loaded), fold or splitset
    data = (folder / FITTED_FILE).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest_of(row, "fitted_preprocessing") != digest:
        blobs.send_ahead(data, digest)
        with metastore.atomic():
            row.fitted_preprocessing = blobs.put(data, digest)
            row.save(only=["fitted_preprocessing", "time_updated"])
    return folder


def fitted(row: Splitset | Fold) -> Fitted | None:
    """What was fitted on the rows that train; None before the samples are cached."""
    if digest_of(row, "fitted_preprocessing") is not None:
        return row.fitted_preprocessing
    folder = folder_of(row) if isinstance(row, Splitset) else folder_of(row.splitset, row)
    if not cache.is_whole(folder):
        return None
    kept: Any = signing.loads((folder / FITTED_FILE).read_bytes())
    return kept


def find(splitset: Splitset, fold: Fold | None) -> Path | None:
    """Return the folder of one Fold's samples, fetched but never built; None if it is missing."""
    folder = folder_of(splitset, fold)
    if cache.is_whole(folder):
        return folder
    with cache.lock(folder):
        return folder if cache.is_whole(folder) or cache_replica.retrieve(folder) else None


def clear_cache_all() -> None:
    """Delete the samples of all Splitsets, here and on the object store."""
    shutil.rmtree(config.samples_path(), ignore_errors=True)
    cache_replica.withdraw(config.samples_path())


def clear_cache(splitset: Splitset) -> None:
    """Delete the cached samples; the next `fetch_cache` or Job builds them again."""
    folder = folder_of(splitset)
    cache.remove(folder)
    cache_replica.withdraw(folder)


def fetch_cache(
    splitset: Splitset,
    split: str,
    label_features: str,
    fold_id: int | None = None,
    library: str | None = None,
) -> object:
    """Return preprocessed samples, building them where they are missing.

    Args:
        split: `'train'`, `'validation'`, `'test'`, or `'folds_train_combined'` and
            `'fold_validation'` with a Fold.
        label_features: `'label'` or `'features'`.
        fold_id: the Fold's id; required where there are Folds.
        library: `'pytorch'` for float32 tensors; arrays otherwise.

    Returns:
        A read-only array `(samples, …)`; for `'features'` a list of them when the Splitset
        has several.

    Raises:
        SelectionError: no such split, Fold or part.
    """
    folds = {fold.id: fold for fold in splitset.ordered_folds}
    if (fold_id is None) == bool(folds) or (fold_id is not None and fold_id not in [*folds]):
        wanted = f"one of {sorted(folds)}" if folds else "None, this Splitset has no Folds"
        message = f"fold_id: {fold_id!r}; give {wanted}."
        raise SelectionError(message)
    fold = None if fold_id is None else folds[fold_id]
    known = list((fold or splitset).positions())
    if split not in known:
        message = f"split: {split!r} is none of {known}."
        raise SelectionError(message)
    if label_features not in ("label", "features"):
        message = f"label_features: {label_features!r}; give 'label' or 'features'."
        raise SelectionError(message)
    folder = ensure(splitset, fold) / split
    if library not in (None, "pytorch"):
        message = f"library: {library!r}; give 'pytorch' for tensors, or None for arrays."
        raise SelectionError(message)
    features = [f"feature_{i}" for i in range(len(splitset.feature_ids))]
    names = ["label"] if label_features == "label" else features
    arrays: list[Any] = [cache.load(folder, name) for name in names]
    if library == "pytorch":
        arrays = get_backend(library).from_arrays(arrays)
    return arrays[0] if len(arrays) == 1 else arrays


def cache_path(splitset: Splitset) -> str:
    """The folder of this Splitset's samples, which follows from their content and recipe."""
    return str(folder_of(splitset))


def cache_hot(splitset: Splitset) -> bool:
    """Whether the samples of every split and Fold are cached with their full size."""
    return all(cache.is_whole(folder_of(splitset, fold)) for fold in splitset.parts())


def _build(splitset: Splitset, fold: Fold | None, folder: Path, loaded: dict[int, Any]) -> None:
    fitted: Any
    arrays: Any
    if splitset.predictor is None:
        fitted, arrays = prepared(splitset, fold, loaded)
    else:
        fitted, arrays = splitset.fitted, [_as_trained(splitset)]
    cache.write(folder, arrays, {FITTED_FILE: signing.dumps(fitted)})


def prepared(
    splitset: Splitset, fold: Fold | None, loaded: dict[int, Any]
) -> tuple[Fitted, Iterator[tuple[str, dict[str, NDArray[Any]]]]]:
    """Fit the preprocessing on the training rows, and make the samples split by split.

    Returns:
        The fit, and an iterator of pairs of a split's name and its arrays.
    """
    splits = (fold or splitset).positions()
    features: list[samples.Prepared] = []
    for feature in splitset.features:
        with _named(feature.id, fold):
            values = values_of(feature, loaded)
            features.append(samples.prepare(values, feature.recipe(), splits))
    label = None if splitset.label is None else _PreparedLabel(splitset.label, splits)
    fitted = Fitted(
        features=tuple(feature.fitted for feature in features),
        label=None if label is None else label.fitted,
    )

    def arrays() -> Iterator[tuple[str, dict[str, NDArray[Any]]]]:
        for split in splits:
            named: dict[str, NDArray[Any]] = {}
            for i, feature in enumerate(features):
                with _named(splitset.feature_ids[i], fold, split):
                    named[f"feature_{i}"] = feature.samples(split)
            if label is not None:
                named["label"] = label.samples(split)
            elif splitset.supervision == "unsupervised":
                windows = features[0].recipe.windows  # learn future windows, else the samples
                shifted = windows is not None and windows.record_shifted
                named["label"] = features[0].samples(split, shifted=shifted)
            yield split, named

    return fitted, arrays()


def _as_trained(splitset: Splitset) -> tuple[str, dict[str, NDArray[Any]]]:
    """Return the one split of an inference Splitset, prepared as its Predictor's were."""
    offers = [new_data.of_row(feature) for feature in splitset.features]
    label = None if splitset.label is None else new_data.of_row(splitset.label)
    batches = new_data.batches(splitset.predictor, offers)
    named = {f"feature_{i}": f.batch(0, f.count) for i, f in enumerate(batches.features)}
    truth = new_data.truth(splitset.predictor, batches, label)
    return next(iter(splitset.sizes)), named | ({} if truth is None else {"label": truth})


@contextmanager
def _named(feature_id: int, fold: Fold | None, split: str | None = None) -> Generator[None]:
    """Add Feature, Fold and split to an error."""
    try:
        yield
    except PreprocessError as error:
        where = "" if fold is None else f", fold {fold.idx} (id {fold.id})"
        where += "" if split is None else f", split {split!r}"
        message = f"Feature {feature_id}{where}: {error}"
        raise PreprocessError(message) from error


class _PreparedLabel:
    """A filled and fitted label."""

    def __init__(self, label: Label, splits: Mapping[str, NDArray[np.int64]]) -> None:
        frame = label.to_df()
        train = next(iter(splits.values()))
        self.filled = samples.fill_rows(frame, label.fills(), splits)
        whole = samples.with_filled(frame, splits, self.filled)
        self.fitted = pipeline.fit_label(whole, label.step(), train, classes=label.classes())

    def samples(self, split: str) -> NDArray[Any]:
        """Return the label of a split, `(samples, width)`."""
        return pipeline.apply_label(self.fitted, self.filled[split])


def values_of(feature: Feature, loaded: dict[int, Any]) -> Any:
    """Return all rows of a Feature's columns; read them unless `loaded` has them by its id."""
    if feature.id not in loaded:
        values = feature.dataset.load(feature.columns, None)
        loaded[feature.id] = row_major(values) if isinstance(values, pd.DataFrame) else values
    return loaded[feature.id]


def _predictor_key(predictor: Predictor) -> list[object]:
    """Return what shapes the samples of a Predictor; its id may differ in another store."""
    job = predictor.job
    fitted = digest_of(predictor, "fitted_preprocessing")
    return [fitted, recipe_key(job.queue.splitset), job.fold and job.fold.idx]


def _feature_key(feature: Feature) -> dict[str, Any]:
    found = _part_key(feature, feature.ordered_interpolaters(), feature.ordered_coders())
    return found | {
        "windows": [
            [row.size_window, row.size_shift, row.record_shifted] for row in feature.windows
        ],
        "shape": [digest_of(row, "reshape_indices") for row in feature.featureshapers],
    }


def _part_key(
    part: Feature | Label, fills: Iterable[Any], coders: Iterable[Any]
) -> dict[str, Any]:
    return {
        "dataset": part.dataset.sha256_hexdigest,
        "columns": part.columns,
        "fills": [
            [row.matching_columns, row.interpolate_kwargs, row.process_separately] for row in fills
        ],
        "coders": [
            [
                digest_of(row, "sklearn_preprocess"),
                row.matching_columns,
                row.encoding_dimension,
                row.only_fit_train,
            ]
            for row in coders
        ],
    }
