"""From rows to cached samples: load, one call to the preprocessing stage, save.

The folder of a Splitset's samples is named by a digest of all that shapes them: data, columns,
coders, splits. A coder that is added later therefore names another folder, and stale samples
cannot be served.
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
from aiqc_core.orm.samples import cache_replica
from aiqc_core.orm.samples import new_data as newdata
from aiqc_core.orm.store import blobs, signing
from aiqc_core.orm.store.database import metastore
from aiqc_core.orm.store.fields import PositionsField, digest_of
from aiqc_core.orm.tables.splitset import Splitset
from aiqc_core.stages.preprocess import pipeline, samples
from aiqc_core.stages.preprocess.values import row_major
from aiqc_core.stages.train.backends.base import get_backend
from aiqc_core.storage import cache

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from aiqc_core.orm.tables.feature import Feature
    from aiqc_core.orm.tables.label import Label
    from aiqc_core.orm.tables.predictor import Predictor
    from aiqc_core.orm.tables.splitset import Fold, Splitset
    from aiqc_core.stages.split.cut import Cut

FITTED_FILE = "fitted.bin"
KEY_CHARACTERS = 24
CACHE_FORMAT = 2


@dataclass(frozen=True, slots=True)
class Fitted:
    """All that was fitted on the training rows of one Splitset or Fold."""

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
    recipe = {
        "format": CACHE_FORMAT,
        "key": None if signing.key() is None else signing.fingerprint(),  # it signs what is fitted
        "features": [_feature_key(feature) for feature in splitset.features],
        "label": None if splitset.label is None else _label_key(splitset.label),
        "predictor": None if splitset.predictor is None else _predictor_key(splitset.predictor),
        "samples": digest_of(splitset, "samples"),
        "folds": [digest_of(fold, "samples") for fold in splitset.ordered_folds],
    }
    text = json.dumps(recipe, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_CHARACTERS]


def ensure(splitset: Splitset, fold: Fold | None, loaded: dict[int, Any] | None = None) -> Path:
    """Return the folder of one Fold's samples, made first where it is missing or cut short.

    It is fetched from the object store where another machine has built it (`AIQC_ARTIFACTS`),
    else built and brought there.

    Args:
        splitset: whose samples.
        fold: which Fold, if there are any.
        loaded: values by the id of their Feature; who builds several Folds passes the same
            dictionary each time, so that the values are read once.
    """
    signing.fingerprint()  # makes the key of a store that has signed nothing yet
    folder = folder_of(splitset, fold)
    if not cache.is_whole(folder):
        config.make_samples_folder()
        with cache.lock(folder):
            if not cache.is_whole(folder) and not cache_replica.retrieve(folder):
                _build(splitset, fold, folder, {} if loaded is None else loaded)
                cache_replica.publish(folder)
    _remember_fit(fold or splitset, folder)
    return folder


def find(splitset: Splitset, fold: Fold | None) -> Path | None:
    """Return the folder of one Fold's samples, fetched but never built; None without it."""
    folder = folder_of(splitset, fold)
    if cache.is_whole(folder):
        return folder
    with cache.lock(folder):
        return folder if cache.is_whole(folder) or cache_replica.retrieve(folder) else None


def fetch(folder: Path, part: str, feature_count: int, library: str | None) -> object:
    """Return the label, the feature, or the list of features that lie in a split's folder."""
    if library not in (None, "pytorch"):
        message = f"library: {library!r}; give 'pytorch' for tensors, or None for arrays."
        raise SelectionError(message)
    names = ["label"] if part == "label" else [f"feature_{i}" for i in range(feature_count)]
    arrays: list[Any] = [cache.load(folder, name) for name in names]
    if library == "pytorch":
        arrays = get_backend(library).from_arrays(arrays)
    return arrays[0] if len(arrays) == 1 else arrays


def send_positions_ahead(made: Cut) -> None:
    """Bring a cut's positions to the object store, before the transaction that stores them."""
    for rows in (made.splits, *map(made.fold_splits, range(len(made.folds)))):
        PositionsField().send_ahead(rows)


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
        fold_id: the Fold's id; needed where there are Folds.
        library: `'pytorch'` for float32 tensors; arrays otherwise.

    Returns:
        A read-only array `(samples, …)`; for `'features'` a list of them when the Splitset
        has several.

    Raises:
        SelectionError: no such split, Fold or part.
    """
    fold = _checked_fold(splitset, fold_id)
    known = list((fold or splitset).positions())
    if split not in known:
        message = f"split: {split!r} is none of {known}."
        raise SelectionError(message)
    if label_features not in ("label", "features"):
        message = f"label_features: {label_features!r}; give 'label' or 'features'."
        raise SelectionError(message)
    folder = ensure(splitset, fold) / split
    return fetch(folder, label_features, len(splitset.feature_ids), library)


def cache_path(splitset: Splitset) -> str:
    """The folder of this Splitset's samples: it follows from their content and recipe."""
    return str(folder_of(splitset))


def cache_hot(splitset: Splitset) -> bool:
    """Whether the samples of every split and Fold are in the cache, with their full size."""
    return all(cache.is_whole(folder_of(splitset, fold)) for fold in splitset.parts())


def _build(splitset: Splitset, fold: Fold | None, folder: Path, loaded: dict[int, Any]) -> None:
    if splitset.predictor is not None:
        fitted: Any = splitset.fitted
        cache.write(folder, [_as_trained(splitset)], {FITTED_FILE: signing.dumps(fitted)})
        return
    fitted, arrays = prepared(splitset, fold, loaded)
    cache.write(folder, arrays, {FITTED_FILE: signing.dumps(fitted)})


def prepared(
    splitset: Splitset, fold: Fold | None, loaded: dict[int, Any]
) -> tuple[Fitted, Iterator[tuple[str, dict[str, NDArray[Any]]]]]:
    """Fit the preprocessing on the training rows, and make the samples split by split.

    Args:
        splitset: whose samples; one that was cut to train.
        fold: which Fold, if there are any.
        loaded: see `ensure`.

    Returns:
        What was fitted, and pairs of a split's name and its arrays, made as they are asked for.
    """
    splits = (fold or splitset).positions()
    features = [_prepared(feature, loaded, splits, fold) for feature in splitset.features]
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
                named["label"] = _target(features[0], split)
            yield split, named

    return fitted, arrays()


def _as_trained(splitset: Splitset) -> tuple[str, dict[str, NDArray[Any]]]:
    """Return the one split of an inference Splitset, prepared as its Predictor's were."""
    offers = [newdata.of_row(feature) for feature in splitset.features]
    label = None if splitset.label is None else newdata.of_row(splitset.label)
    batches = newdata.batches(splitset.predictor, offers)
    named = {f"feature_{i}": f.batch(0, f.count) for i, f in enumerate(batches.features)}
    truth = newdata.truth(splitset.predictor, batches, label)
    return next(iter(splitset.sizes)), named | ({} if truth is None else {"label": truth})


@contextmanager
def _named(feature_id: int, fold: Fold | None, split: str | None = None) -> Generator[None]:
    """Say of which Feature, and in which Fold and split, samples cannot be made."""
    try:
        yield
    except PreprocessError as error:
        where = "" if fold is None else f", fold {fold.idx} (id {fold.id})"
        where += "" if split is None else f", split {split!r}"
        message = f"Feature {feature_id}{where}: {error}"
        raise PreprocessError(message) from error


class _PreparedLabel:
    """A label that was filled and fitted, ready to give the samples of any split."""

    def __init__(self, label: Label, splits: Mapping[str, NDArray[np.int64]]) -> None:
        frame = label.to_df()
        train = next(iter(splits.values()))
        self.filled = samples.fill_rows(frame, label.fills(), splits)
        whole = samples.with_filled(frame, splits, self.filled)
        self.fitted = pipeline.fit_label(whole, label.step(), train, classes=label.classes())

    def samples(self, split: str) -> NDArray[Any]:
        """Return the label of a split, `(samples, width)`."""
        return pipeline.apply_label(self.fitted, self.filled[split])


def _prepared(
    feature: Feature,
    loaded: dict[int, Any],
    splits: Mapping[str, NDArray[np.int64]],
    fold: Fold | None,
) -> samples.Prepared:
    with _named(feature.id, fold):
        return samples.prepare(values_of(feature, loaded), feature.recipe(), splits)


def values_of(feature: Feature, loaded: dict[int, Any]) -> Any:
    """Return all rows of a Feature's columns, read unless they are among `loaded` by its id."""
    if feature.id not in loaded:
        values = feature.dataset.load(feature.columns, None)
        loaded[feature.id] = row_major(values) if isinstance(values, pd.DataFrame) else values
    return loaded[feature.id]


def _target(feature: samples.Prepared, split: str) -> NDArray[Any]:
    """Return what an unsupervised model learns: future windows, else the samples themselves."""
    windows = feature.recipe.windows
    return feature.samples(split, shifted=windows is not None and windows.record_shifted)


def _remember_fit(row: Splitset | Fold, folder: Path) -> None:
    data = (folder / FITTED_FILE).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest_of(row, "fitted_preprocessing") != digest:
        blobs.send_ahead(data, digest)
        with metastore.atomic():
            row.fitted_preprocessing = blobs.put(data, digest)
            row.save(only=["fitted_preprocessing", "time_updated"])


def _predictor_key(predictor: Predictor) -> list[object]:
    """Return what shapes the samples of a Predictor; its id may be another's in a later store."""
    job = predictor.job
    fitted = digest_of(predictor, "fitted_preprocessing")
    return [fitted, recipe_key(job.queue.splitset), job.fold and job.fold.idx]


def _feature_key(feature: Feature) -> dict[str, Any]:
    return {
        "dataset": feature.dataset.sha256_hexdigest,
        "columns": feature.columns,
        "fills": [_fill_key(row) for row in feature.ordered_interpolaters()],
        "coders": [_coder_key(coder) for coder in feature.ordered_coders()],
        "windows": [
            [row.size_window, row.size_shift, row.record_shifted] for row in feature.windows
        ],
        "shape": [digest_of(row, "reshape_indices") for row in feature.featureshapers],
    }


def _label_key(label: Label) -> dict[str, Any]:
    return {
        "dataset": label.dataset.sha256_hexdigest,
        "columns": label.columns,
        "fills": [_fill_key(row) for row in label.labelinterpolaters],
        "coders": [_coder_key(coder) for coder in label.labelcoders],
    }


def _fill_key(row: Any) -> list[object]:
    return [row.matching_columns, row.interpolate_kwargs, row.process_separately]


def _coder_key(coder: Any) -> list[object]:
    return [
        digest_of(coder, "sklearn_preprocess"),
        coder.matching_columns,
        coder.encoding_dimension,
        coder.only_fit_train,
    ]


def _checked_fold(splitset: Splitset, fold_id: int | None) -> Fold | None:
    ids = {fold.id: fold for fold in splitset.ordered_folds}
    if (fold_id is None) == bool(ids) or (fold_id is not None and fold_id not in [*ids]):
        wanted = f"one of {sorted(ids)}" if ids else "None, this Splitset has no Folds"
        message = f"fold_id: {fold_id!r}; give {wanted}."
        raise SelectionError(message)
    return None if fold_id is None else ids[fold_id]
