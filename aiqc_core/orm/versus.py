"""Two Predictors on the samples of one of them that neither has learned from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from aiqc_core import cache
from aiqc_core.evaluate import decode, stored, units, weighted
from aiqc_core.evaluate.contest import Contest, contest
from aiqc_core.orm.splitset import Splitset

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aiqc_core.evaluate.weighted import Metrics
    from aiqc_core.orm.feature import Feature
    from aiqc_core.orm.predictor import Predictor
    from aiqc_core.train.outcome import JobSpec

TWO = 2


def compare(
    champion: Predictor, challenger: Predictor, *, metric: str, split: str, level: float
) -> Contest:
    """Compare two Predictors on a split of the champion, without what the challenger learned.

    Both are scored in the label's own units, for their encoders may differ; probabilities count
    where both know the same classes. Of two classes, the challenger's positive one counts for
    both: it is the one that is declared now.

    Args:
        champion: whose samples they are.
        challenger: trained on the same data or on later data with the same columns.
        metric: by which they are judged.
        split: `'train'`, `'validation'` or `'test'`; where the champion has no such split, the one
            that judged its training.
        level: of the interval.

    Raises:
        SelectionError: the challenger knows other columns than the champion.
    """
    name = _split_of(champion, split)
    positions = _part(champion).positions()[name]
    kept = np.isin(positions, unseen(champion, challenger, positions))
    specs = _spec(champion), _spec(challenger)
    truth = _truth(specs[0], name)[kept]
    ours = _said(champion, name, kept)
    theirs = (
        _said(challenger, name, kept)
        if name in _part(challenger).positions() and _shares_split(champion, challenger, name)
        else _inferred(challenger, champion, positions[kept])
    )
    score = [_scorer(specs, truth, *each) for each in zip((ours, theirs), specs, strict=True)]
    found = contest(score[0], score[1], int(kept.sum()), metric, level=level)
    return replace(found, positive=challenger.positive_class)


def unseen(
    champion: Predictor, challenger: Predictor, positions: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return those of the champion's samples whose rows the challenger did not learn from."""
    here, there = _splitset(champion), _splitset(challenger)
    learned = _part(challenger).positions()[there.key_train or ""]
    if here.id == there.id:
        return np.setdiff1d(positions, learned)
    seen = np.unique(_row_hashes(there)[_rows(there, learned)])
    known = np.isin(_row_hashes(here), seen)
    return positions[[not known[_rows(here, np.array([p]))].any() for p in positions]]


def learned(predictor: Predictor) -> tuple[Feature, NDArray[np.int64]]:
    """Return the first Feature that a Predictor learned from, and its Dataset's rows it saw."""
    splitset = _splitset(predictor)
    positions = _part(predictor).positions()[splitset.key_train or ""]
    return splitset.features[0], _rows(splitset, positions)


def _splitset(predictor: Predictor) -> Splitset:
    return predictor.job.queue.splitset


def _part(predictor: Predictor) -> Any:
    return predictor.job.fold or _splitset(predictor)


def _split_of(predictor: Predictor, split: str) -> str:
    splitset = _splitset(predictor)
    keys = {
        "train": splitset.key_train,
        "validation": splitset.key_evaluation,
        "test": splitset.key_test,
    }
    return keys[split] or splitset.judged_on


def _shares_split(champion: Predictor, challenger: Predictor, name: str) -> bool:
    if _splitset(champion).id != _splitset(challenger).id:
        return False
    parts = [_part(each).positions()[name] for each in (champion, challenger)]
    return np.array_equal(*parts)


def _rows(splitset: Splitset, samples: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the Dataset's rows under samples: those of their windows, or the samples."""
    windows = splitset.features[0].recipe().windows
    return samples if windows is None else windows.rows(samples)


def _row_hashes(splitset: Splitset) -> NDArray[np.uint64]:
    """Return a hash of each of the Dataset's rows, by the columns of the first Feature."""
    feature = splitset.features[0]
    values = feature.dataset.load(feature.columns, None)
    if not isinstance(values, pd.DataFrame):
        values = pd.DataFrame(np.asarray(values).reshape(len(values), -1))
    return pd.util.hash_pandas_object(values[sorted(values.columns)], index=False).to_numpy()


def _spec(predictor: Predictor) -> JobSpec:
    return predictor.job.spec(predictor.repeat_index)


def _truth(spec: JobSpec, split: str) -> NDArray[Any]:
    """Return the label of a split in its own units: classes, or numbers."""
    encoded: Any = cache.load(Path(spec.samples[split]), "label")
    if spec.analysis_type == "regression":
        return units.decoded(spec.label, np.asarray(encoded, dtype=np.float64))
    return decode.to_classes(decode.to_ordinal(np.asarray(encoded)), _classes(spec))


def _classes(spec: JobSpec) -> tuple[Any, ...]:
    return tuple(getattr(spec.label, "classes", None) or ())


Said = tuple["NDArray[Any]", "NDArray[Any] | None"]


def _said(predictor: Predictor, split: str, kept: NDArray[np.bool_]) -> Said:
    prediction = predictor.prediction
    said = (prediction.probabilities or {}).get(split)
    return prediction.predictions[split][kept], None if said is None else said[kept]


def _inferred(challenger: Predictor, champion: Predictor, positions: NDArray[np.int64]) -> Said:
    splitset = _splitset(champion)
    made = next(
        (row for row in challenger.inference_splitsets if row.feature_ids == splitset.feature_ids),
        None,
    )
    if made is None:
        made = Splitset.make(splitset.feature_ids, predictor_id=challenger.id)
    prediction = made.infer()
    (split,) = made.positions()
    said = (prediction.probabilities or {}).get(split)
    return prediction.predictions[split][positions], None if said is None else said[positions]


def _scorer(
    specs: tuple[JobSpec, JobSpec], truth: NDArray[Any], said: Said, spec: JobSpec
) -> Metrics:
    analysis_type, (predictions, probabilities) = specs[0].analysis_type, said
    if analysis_type == "regression":
        return weighted.regression(truth, np.asarray(predictions).reshape(truth.shape))
    known = [_classes(each) for each in specs]
    # The champion's order serves both; what only the challenger knows comes behind it.
    classes = list(dict.fromkeys([*known[0], *known[1]]))
    is_same = len(classes) == len(known[0]) == len(known[1])
    return weighted.classification(
        stored.from_classes(truth, classes),
        stored.from_classes(np.asarray(predictions), classes),
        _in_order(probabilities, _classes(spec), classes) if is_same else None,
        len(classes),
        binary=analysis_type == "classification_binary" and len(classes) == TWO,
        positive=classes.index(known[1][getattr(specs[1].label, "positive_code", 1)]),
    )


def _in_order(
    probabilities: NDArray[Any] | None, known: tuple[Any, ...], classes: list[Any]
) -> NDArray[Any] | None:
    """Return probabilities as if the classes had been coded in this order."""
    if probabilities is None or list(known) == classes:
        return probabilities
    if probabilities.ndim == 1:
        return 1 - probabilities
    return probabilities[:, [known.index(name) for name in classes]]
