"""Wrap a Predictor as a fitted, frozen scikit-learn estimator.

It passes those of scikit-learn's checks (`sklearn.utils.estimator_checks`) that a frozen estimator
can pass. The others, which a test lists, call `clone` or `fit`. It refuses these: if they did
nothing, `cross_val_score` and `GridSearchCV` would score the old model as if it had learned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn
from weakref import WeakKeyDictionary

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from aiqc_core.analysis import AnalysisType
from aiqc_core.errors import SelectionError, TrainingError
from aiqc_core.orm.inference import predict
from aiqc_core.orm.inference.detached import Detached, detached
from aiqc_core.stages.evaluate import decode
from aiqc_core.stages.train.backends.base import get_backend

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aiqc_core.orm.tables.predictor import Predictor
    from aiqc_core.stages.train.scoring import SplitScores
    from aiqc_core.stages.train.trained_model import Evaluator

FROZEN = (
    "is trained already and learns nothing more. To pass it to what fits estimators, such as "
    "CalibratedClassifierCV, wrap it: sklearn.frozen.FrozenEstimator(estimator); to train on "
    "other samples, make a Queue."
)
# The loaded model of each estimator, beside it: to predict changes no attribute.
_loaded: WeakKeyDictionary[_Trained, tuple[Any, Evaluator]] = WeakKeyDictionary()


def as_estimator(predictor: Predictor) -> Any:
    """Return the Predictor as a fitted scikit-learn estimator.

    It has `predict`, `predict_proba`, `classes_` (sorted, as scikit-learn has them),
    `feature_names_in_` and `score`, and works with `sklearn.inspection`, `sklearn.metrics` and
    in a fitted Pipeline. It is frozen: `fit` and `clone` raise, and so do `cross_val_score`
    and `GridSearchCV`; wrap it in `sklearn.frozen.FrozenEstimator` for
    `CalibratedClassifierCV` and the like. `joblib.dump` writes everything that it predicts
    with, so its file works anywhere.

    Raises:
        SelectionError: several Features, or no Label.
    """
    queue = predictor.job.queue
    features, label = queue.splitset.feature_ids, queue.splitset.label
    if len(features) > 1 or label is None:
        raise SelectionError(
            f"as_estimator: the Predictor takes Features {features}, with "
            f"{'no Label' if label is None else 'a Label'}; scikit-learn knows one "
            "X and a y. Use predictor.predict."
        )
    is_class = queue.algorithm.analysis_type != AnalysisType.REGRESSION
    return (TrainedClassifier if is_class else TrainedRegressor)(predictor)


class _Trained(BaseEstimator):
    """What classifiers and regressors share; the model is loaded once.

    A pickle (`joblib.dump`, `copy`) holds model, preprocessing and functions, so that it predicts
    in any process, with any store or none. That process must be able to import `aiqc_core`, the
    framework, and what the functions import.
    """

    def __init__(self, predictor: Predictor | Detached) -> None:
        self.predictor: Any = predictor

    @property
    def feature_names_in_(self) -> NDArray[Any]:
        """The columns that training knew, in their order, `(columns,)`."""
        return np.array(self._feature.columns, dtype=object)

    @property
    def n_features_in_(self) -> int:
        """How many columns training knew."""
        return len(self.feature_names_in_)

    @property
    def _feature(self) -> Any:
        return self.predictor.job.queue.splitset.features[0]

    def fit(self, X: Any, y: Any = None, **parameters: Any) -> NoReturn:
        """Raise a TrainingError that says what to do: the model is frozen."""
        del X, y, parameters
        raise TrainingError(f"fit: Predictor {self.predictor.id} {FROZEN}")

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the predictions of samples, `(samples,)`, in the label's own values.

        Args:
            X: as `Predictor.predict` takes it: columns of a DataFrame are matched by name.
        """
        return self._scores(X).predictions

    def _scores(self, X: Any) -> SplitScores:
        used, evaluator = _loaded.get(self, (None, None))
        if evaluator is None or used is not self.predictor:
            stored = self.predictor.stored()
            with get_backend(stored.library).isolated(stored.threads):
                evaluator = stored.load()
            _loaded[self] = self.predictor, evaluator
        return predict.scores_of(self.predictor, X, evaluator)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_clone__(self) -> NoReturn:
        raise TrainingError(f"clone: Predictor {self.predictor.id} {FROZEN}")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.allow_nan = bool(self._feature.recipe().fills)
        tags.input_tags.string = tags.input_tags.categorical = any(
            not dtype.lower().startswith(("int", "uint", "float", "bool"))
            for dtype in self._feature.get_dtypes().values()
        )
        return tags

    def __getstate__(self) -> dict[str, Any]:
        return {"predictor": detached(self.predictor)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


class TrainedClassifier(ClassifierMixin, _Trained):
    """A classifier; of a one-hot label, the classes are the names of its columns."""

    @property
    def classes_(self) -> NDArray[Any]:
        """The classes, sorted as scikit-learn has them, `(classes,)`."""
        return self._sorted()[0]

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each class, `(samples, classes)`, in the order of `classes_`.

        A chosen positive class moves no column: give its name as `pos_label`.
        """
        return predict.class_probabilities(self._scores(X))[:, self._sorted()[1]]

    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the logarithms of `predict_proba`."""
        with np.errstate(divide="ignore"):  # probability 0: -inf
            return np.log(self.predict_proba(X))

    def _sorted(self) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return the sorted classes, and the code of each."""
        known = self.predictor.classes or ()
        named = decode.to_classes(np.arange(len(known)), known)
        try:
            order = np.argsort(named, kind="stable")
        except TypeError:  # values of several types have no order; that of their text will do
            order = np.argsort(named.astype(str), kind="stable")
        return named[order], order

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = len(self.predictor.classes or ()) > 2  # noqa: PLR2004
        return tags


class TrainedRegressor(RegressorMixin, _Trained):
    """A regressor."""
