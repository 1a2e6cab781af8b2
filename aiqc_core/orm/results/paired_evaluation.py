"""Compare two Predictors on samples that neither has learned from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.api import types

from aiqc_core.analysis import AnalysisType
from aiqc_core.errors import SelectionError
from aiqc_core.orm.results.intervals import spec_of
from aiqc_core.orm.tables.splitset import Splitset
from aiqc_core.stages.evaluate import decode, metrics
from aiqc_core.stages.evaluate.bootstrap import Contest, contest
from aiqc_core.stages.evaluate.ranking import DECODED
from aiqc_core.storage import cache

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aiqc_core.orm.tables.feature import Feature
    from aiqc_core.orm.tables.prediction import Prediction
    from aiqc_core.orm.tables.predictor import Predictor
    from aiqc_core.stages.evaluate.metrics import Scorer
    from aiqc_core.stages.train.spec import JobSpec

TWO = 2


def compare(
    champion: Predictor, challenger: Predictor, *, metric: str, split: str, level: float
) -> Contest:
    """Compare two Predictors on a split of the champion, without what the challenger learned.

    Both are scored in the label's own units, because their encoders may differ. Probabilities
    count where both know the same classes. The challenger's positive class counts for both: it is
    the one declared now. Losses of two models do not compare, so the default loss counts instead:
    `log_loss` of a classification, `mae` of a regression.

    Args:
        challenger: trained on the same data or on later data with the same columns.
        split: `'train'`, `'validation'` or `'test'`; where the champion has no such split, the one
            that judged its training.
        level: of the interval.

    Raises:
        SelectionError: the two differ in features, label, classes or probabilities; the message
            says in which.
    """
    _refuse_incomparable(champion, challenger)
    key = {"train": "key_train", "validation": "key_evaluation", "test": "key_test"}[split]
    name = getattr(_splitset(champion), key) or _splitset(champion).judged_on
    positions = _part(champion).positions()[name]
    kept = np.isin(positions, unseen(champion, challenger, positions))
    specs = spec_of(champion), spec_of(challenger)
    truth = _truth(specs[0], name)[kept]
    ours = _predicted(champion.prediction, name, kept)
    theirs = (
        _predicted(challenger.prediction, name, kept)
        if _shares_split(champion, challenger, name)
        else _inferred(challenger, champion, positions[kept])
    )
    score = [_scorer(specs, truth, *each) for each in zip((ours, theirs), specs, strict=True)]
    named = metric.removesuffix(DECODED)
    if metric == "loss":
        named = "mae" if specs[0].analysis_type == AnalysisType.REGRESSION else "log_loss"
    if named in {"roc_auc", "log_loss"}:
        _refuse_other_probabilities(named, specs, (ours, theirs))
    found = contest(score[0], score[1], int(kept.sum()), named, level=level)
    return replace(found, positive=challenger.positive_class)


def _refuse_incomparable(champion: Predictor, challenger: Predictor) -> None:
    """Refuse two Predictors of different analyses, labels, classes or features."""
    kinds = [each.job.queue.algorithm.analysis_type for each in (champion, challenger)]
    if kinds[0] != kinds[1]:
        raise SelectionError(f"the champion is a {kinds[0]}, the challenger a {kinds[1]}.")
    labels = [
        ["the features themselves"] if label is None else sorted(label.columns)
        for label in (_splitset(each).label for each in (champion, challenger))
    ]
    if labels[0] != labels[1]:
        raise SelectionError(f"the champion predicts {labels[0]}, the challenger {labels[1]}.")
    _refuse_other_features(_splitset(champion), _splitset(challenger))
    known = [_classes(spec_of(each)) for each in (champion, challenger)]
    lost = [name for name in known[0] if name not in known[1]]
    if lost:
        raise SelectionError(
            f"the challenger does not know {lost} of the champion's classes {list(known[0])}; it "
            f"knows {list(known[1])}."
        )


def _refuse_other_features(here: Splitset, there: Splitset) -> None:
    """Refuse a challenger that takes what the champion's samples do not have."""
    for ours, theirs in zip(here.features, there.features, strict=False):
        kinds = ours.dataset.typ, theirs.dataset.typ
        if kinds[0] != kinds[1]:
            raise SelectionError(
                f"the champion learns from {kinds[0]} data, the challenger from {kinds[1]}."
            )
        missing = [name for name in theirs.columns if name not in ours.columns]
        if missing:
            raise SelectionError(
                f"the challenger takes columns {missing}, which the champion's data lack."
            )


def unseen(
    champion: Predictor, challenger: Predictor, positions: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the champion's samples on rows that the challenger did not learn from."""
    here, there = _splitset(champion), _splitset(challenger)
    learned = _part(challenger).positions()[there.key_train or ""]
    if here.id == there.id:
        return np.setdiff1d(positions, learned)
    known = set(there.features[0].columns)
    shared = [name for name in here.features[0].columns if name in known]
    seen = np.unique(_row_hashes(there, shared)[_rows(there, learned)])
    is_seen = np.isin(_row_hashes(here, shared), seen)
    return positions[[not is_seen[_rows(here, np.array([p]))].any() for p in positions]]


def learned(predictor: Predictor) -> tuple[Feature, NDArray[np.int64]]:
    """Return the first Feature that a Predictor learned from, and its Dataset's rows it saw."""
    splitset = _splitset(predictor)
    positions = _part(predictor).positions()[splitset.key_train or ""]
    return splitset.features[0], _rows(splitset, positions)


def _splitset(predictor: Predictor) -> Splitset:
    return predictor.job.queue.splitset


def _part(predictor: Predictor) -> Any:
    return predictor.job.fold or _splitset(predictor)


def _shares_split(champion: Predictor, challenger: Predictor, name: str) -> bool:
    here, there = (_part(each).positions().get(name) for each in (champion, challenger))
    is_one = _splitset(champion).id == _splitset(challenger).id
    return is_one and here is not None and there is not None and np.array_equal(here, there)


def _rows(splitset: Splitset, samples: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the Dataset's rows under samples: those of their windows, or the samples."""
    windows = splitset.features[0].recipe().windows
    return samples if windows is None else windows.rows(samples)


def _row_hashes(splitset: Splitset, columns: list[str]) -> NDArray[np.uint64]:
    """Return a hash of each of the Dataset's rows, by these columns of the first Feature.

    Numbers are hashed as floats and all else as text, so that a row is recognised although its
    column has another dtype now.
    """
    values = splitset.features[0].dataset.load(columns, None)
    if isinstance(values, pd.DataFrame):
        plain: Any = {
            name: column.astype(float) if types.is_numeric_dtype(column) else column.astype(str)
            for name, column in sorted(values.items())
        }
    else:
        plain = np.asarray(values, dtype=float).reshape(len(values), -1)
    return pd.util.hash_pandas_object(pd.DataFrame(plain), index=False).to_numpy()


def _truth(spec: JobSpec, split: str) -> NDArray[Any]:
    """Return the label of a split in its own units: classes, or numbers."""
    encoded: Any = cache.load(Path(spec.samples[split]), "label")
    if spec.analysis_type == AnalysisType.REGRESSION:
        return decode.to_units(spec.label, np.asarray(encoded, dtype=np.float64))
    return decode.to_classes(decode.to_ordinal(np.asarray(encoded)), _classes(spec))


def _classes(spec: JobSpec) -> tuple[Any, ...]:
    return tuple(getattr(spec.label, "classes", None) or ())


Predicted = tuple["NDArray[Any]", "NDArray[Any] | None"]


def _predicted(prediction: Prediction, split: str, chosen: NDArray[Any]) -> Predicted:
    """Return predictions and probabilities of some samples of a split."""
    found = (prediction.probabilities or {}).get(split)
    return prediction.predictions[split][chosen], None if found is None else found[chosen]


def _inferred(
    challenger: Predictor, champion: Predictor, positions: NDArray[np.int64]
) -> Predicted:
    splitset = _splitset(champion)
    ids = splitset.feature_ids
    made = next((row for row in challenger.inference_splitsets if row.feature_ids == ids), None)
    made = made or Splitset.make(ids, predictor_id=challenger.id)
    (split,) = made.positions()
    return _predicted(made.infer(), split, positions)


def _scorer(
    specs: tuple[JobSpec, JobSpec], truth: NDArray[Any], predicted: Predicted, spec: JobSpec
) -> Scorer:
    analysis_type, (predictions, probabilities) = specs[0].analysis_type, predicted
    if analysis_type == AnalysisType.REGRESSION:
        return metrics.regression_scorer(truth, np.asarray(predictions).reshape(truth.shape))
    known = [_classes(each) for each in specs]
    # The champion's order, then what only the challenger knows.
    classes = list(dict.fromkeys([*known[0], *known[1]]))
    is_same = len(classes) == len(known[0]) == len(known[1])
    ordinals = decode.from_classes(truth, classes)
    shares = _in_order(probabilities, _classes(spec), classes) if is_same else None
    scored = metrics.classification_scorer(
        ordinals,
        decode.from_classes(np.asarray(predictions), classes),
        shares,
        len(classes),
        binary=analysis_type == AnalysisType.BINARY and len(classes) == TWO,
        positive=classes.index(known[1][getattr(specs[1].label, "positive_code", 1)]),
    )
    if shares is None:
        return scored
    entropy = metrics.log_loss_scorer(ordinals, shares)
    return lambda drawn: scored(drawn) | entropy(drawn)


def _refuse_other_probabilities(
    metric: str, specs: tuple[JobSpec, JobSpec], predicted: tuple[Predicted, Predicted]
) -> None:
    """Refuse a metric of probabilities where there are none over the same classes."""
    known = [_classes(spec) for spec in specs]
    if set(known[0]) != set(known[1]) or any(shares is None for _, shares in predicted):
        raise SelectionError(
            f"{metric} needs probabilities of both over the same classes; the champion knows "
            f"{list(known[0])}, the challenger {list(known[1])}. Set promotion.metric to accuracy "
            "or f1, which need none."
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
