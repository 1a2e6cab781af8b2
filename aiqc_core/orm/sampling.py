"""From rows to cached samples: load, one call to the preprocessing stage, save.

The folder of a Splitset's samples is named by a digest of all that shapes them: data, columns,
coders, splits. A coder that is added later therefore names another folder, and stale samples
cannot be served.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiqc_core import cache, config
from aiqc_core.errors import SelectionError
from aiqc_core.orm import blobs, signing
from aiqc_core.orm.fields import digest_of
from aiqc_core.preprocess import pipeline
from aiqc_core.train.backend import get_backend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from aiqc_core.orm.splitset import Fold, Splitset

FITTED_FILE = "fitted.bin"
KEY_CHARACTERS = 24
CACHE_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Fitted:
    """All that was fitted on the training rows of one Splitset or Fold."""

    features: tuple[pipeline.FittedFeature, ...]
    label: pipeline.FittedLabel


def raw(row: Any, field: str) -> bytes:
    """Return the bytes of a row's blob column, undecoded."""
    return blobs.get(digest_of(row, field))


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
        "features": [
            {
                "dataset": feature.dataset.sha256_hexdigest,
                "columns": feature.columns,
                "coders": [_coder_recipe(coder) for coder in feature.ordered_coders()],
            }
            for feature in splitset.features
        ],
        "label": {
            "dataset": label.dataset.sha256_hexdigest,
            "columns": label.columns,
            "coders": [_coder_recipe(coder) for coder in label.labelcoders],
        },
        "samples": digest_of(splitset, "samples"),
        "folds": [digest_of(fold, "samples") for fold in splitset.ordered_folds],
    }
    text = json.dumps(recipe, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_CHARACTERS]


def ensure(splitset: Splitset, fold: Fold | None) -> Path:
    """Return the folder of one Fold's samples, built first where it is missing or cut short."""
    folder = folder_of(splitset, fold)
    if not cache.is_whole(folder):
        with cache.lock(folder):
            if not cache.is_whole(folder):
                _build(splitset, fold, folder)
    _remember_fit(fold or splitset, folder)
    return folder


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


def clear_all() -> None:
    """Delete the samples of all Splitsets."""
    shutil.rmtree(config.samples_path(), ignore_errors=True)


def _build(splitset: Splitset, fold: Fold | None, folder: Path) -> None:
    positions = (fold or splitset).positions()
    train = next(iter(positions.values()))
    features = [(feature.to_df(), feature.plan()) for feature in splitset.features]
    label = splitset.label
    label_frame = label.to_df()
    fitted = Fitted(
        features=tuple(pipeline.fit_feature(frame, plan, train) for frame, plan in features),
        label=pipeline.fit_label(label_frame, label.step(), train, classes=label.classes()),
    )

    def splits() -> Iterator[tuple[str, dict[str, NDArray[np.generic]]]]:
        for split, rows in positions.items():
            arrays = {"label": pipeline.apply_label(fitted.label, _rows(label_frame, rows))}
            for i, ((frame, _), fit) in enumerate(zip(features, fitted.features, strict=True)):
                arrays[f"feature_{i}"] = pipeline.apply_feature(fit, _rows(frame, rows))
            yield split, arrays

    cache.write(folder, splits(), {FITTED_FILE: signing.dumps(fitted)})


def _rows(frame: Any, rows: NDArray[np.int64]) -> Any:
    return frame.iloc[rows].reset_index(drop=True)


def _remember_fit(row: Splitset | Fold, folder: Path) -> None:
    data = (folder / FITTED_FILE).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest_of(row, "fitted_preprocessing") != digest:
        row.fitted_preprocessing = blobs.put(data)
        row.save(only=["fitted_preprocessing", "time_updated"])


def _coder_recipe(coder: Any) -> list[object]:
    return [
        digest_of(coder, "sklearn_preprocess"),
        coder.matching_columns,
        coder.encoding_dimension,
        coder.only_fit_train,
    ]
