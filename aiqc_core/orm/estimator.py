"""A Predictor with the face of a scikit-learn estimator that is fitted already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from aiqc_core.errors import SelectionError
from aiqc_core.orm import predicting
from aiqc_core.train.backend import get_backend

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aiqc_core.orm.predictor import Predictor
    from aiqc_core.train.judging import Judge
    from aiqc_core.train.scoring import SplitScores


class _Trained(BaseEstimator):
    """What classifiers and regressors share; the model is loaded once.

    Attributes:
        feature_names_in_: the columns that training knew, in their order.
        n_features_in_: how many these are.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.feature_names_in_ = np.array(predictor.job.queue.splitset.features[0].columns)
        self.n_features_in_ = len(self.feature_names_in_)
        self._judge: Judge | None = None

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_clone__(self) -> Self:
        return self

    def fit(self, X: Any, y: Any = None) -> Self:
        """Do nothing: the Predictor is trained."""
        del X, y
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the predictions of samples, `(samples,)`, in the label's own values.

        Args:
            X: as `Predictor.predict` takes it.
        """
        return self._scores(X).predictions

    def _scores(self, X: Any) -> SplitScores:
        if self._judge is None:
            stored = self.predictor.stored()
            with get_backend(stored.library).isolated(stored.threads):
                self._judge = stored.load()
        return predicting.scores_of(self.predictor, X, self._judge)


class TrainedClassifier(ClassifierMixin, _Trained):
    """A classifier.

    Attributes:
        classes_: the classes, in the order of the columns of `predict_proba`.
    """

    def __init__(self, predictor: Predictor) -> None:
        super().__init__(predictor)
        self.classes_ = np.array(predictor.fitted_preprocessing.label.classes)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each class, `(samples, classes)`."""
        return predicting.class_probabilities(self._scores(X))


class TrainedRegressor(RegressorMixin, _Trained):
    """A regressor."""


def estimator_of(predictor: Predictor) -> TrainedClassifier | TrainedRegressor:
    """Return the estimator of a Predictor; see `Predictor.as_estimator`."""
    queue = predictor.job.queue
    features = queue.splitset.feature_ids
    if len(features) > 1 or queue.splitset.label is None:
        message = (
            f"as_estimator: the Predictor takes Features {features}, with "
            f"{'no Label' if queue.splitset.label is None else 'a Label'}; scikit-learn knows one "
            "X and a y. Use predictor.predict."
        )
        raise SelectionError(message)
    is_class = queue.algorithm.analysis_type != "regression"
    return (TrainedClassifier if is_class else TrainedRegressor)(predictor)
