"""What scikit-learn's tools do with a Predictor that has the face of an estimator."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Self

import joblib
import numpy as np
import pytest
from sklearn import metrics
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.ensemble import VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder, StandardScaler
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import check_is_fitted
from small_classes import frame, hot, trained

from aiqc_core.errors import SelectionError, TrainingError
from aiqc_core.orm.inference.sklearn import TrainedClassifier

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

BINARY, TEXT, THREE = "classification_binary", ["ok", "fraud"], ["low", "mid", "high"]

# Those that a fitted, frozen estimator passes as it is. The others call clone or fit first.
AS_IT_IS = {
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_mixin_order",
    "check_estimators_partial_fit_n_features",
    "check_non_transformer_estimators_n_iter",
}
# Those that it passes where clone gives itself and fit does nothing.
THAWED = {
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_no_attributes_set_in_init",
    "check_estimators_overwrite_params",
    "check_dont_overwrite_parameters",
    "check_readonly_memmap_input",
    "check_estimators_pickle",
    "check_f_contiguous_array_estimator",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_decision_proba_consistency",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_pipeline_consistency",
    "check_fit_score_takes_y",
}
# The rest ask what a fit does with their data: other columns, other classes, faulty values.


class Thawed(TrainedClassifier):
    """One that lets itself be fitted, which changes nothing."""

    def fit(self, X: Any, y: Any = None, **parameters: Any) -> Self:  # noqa: N803
        """Keep what was learned."""
        del X, y, parameters
        return self

    def __sklearn_clone__(self) -> Self:
        return self


def predictor_of(data: pd.DataFrame, coder: Any, **about: Any) -> Any:
    """The only Predictor of a trained Queue."""
    return trained(data, coder, **about).jobs[0].predictors[0]


def failures(estimator: Any) -> dict[str, str]:
    """What scikit-learn's checks say, by their names."""
    found = check_estimator(estimator, on_skip=None, on_fail=None)
    return {
        each["check_name"]: str(each["exception"]) for each in found if each["status"] == "failed"
    } | {each["check_name"]: "" for each in found if each["status"] == "passed"}


@pytest.mark.filterwarnings("ignore")
def test_the_checks_of_scikit_learn_that_a_frozen_estimator_can_pass_pass() -> None:
    predictor = predictor_of(frame([0, 1]), None, analysis=BINARY)
    found = failures(predictor.as_estimator())
    assert {name for name, why in found.items() if not why} == AS_IT_IS
    assert all("Predictor" in why for name, why in found.items() if name not in AS_IT_IS)
    thawed = failures(Thawed(predictor))
    assert {name: thawed[name] for name in THAWED} == dict.fromkeys(THAWED, "")


@pytest.mark.parametrize("positive", [None, *TEXT])
def test_classes_are_sorted_and_columns_follow(positive: str | None) -> None:
    data = frame(TEXT)
    coder = OrdinalEncoder(categories=[TEXT])
    predictor = predictor_of(data, coder, analysis=BINARY, positive=positive)
    estimator, x, y = predictor.as_estimator(), data[["x", "z"]], data["y"]
    check_is_fitted(estimator)
    assert is_classifier(estimator)
    assert not is_regressor(estimator)
    assert estimator.classes_.tolist() == ["fraud", "ok"]
    table = predictor.predict(x)
    share = estimator.predict_proba(x)
    np.testing.assert_array_equal(share, table[["probability_fraud", "probability_ok"]])
    assert estimator.classes_[share.argmax(axis=1)].tolist() == estimator.predict(x).tolist()
    by_name = -np.log(np.where(y == "ok", table["probability_ok"], table["probability_fraud"]))
    assert metrics.log_loss(y, share) == pytest.approx(by_name.mean())
    area = metrics.roc_auc_score(y == "ok", table["probability_ok"])
    assert metrics.roc_auc_score(y, share[:, 1]) == area
    scorer = metrics.get_scorer("neg_log_loss")
    assert scorer(estimator, x, y) == pytest.approx(-by_name.mean())
    np.testing.assert_allclose(np.exp(estimator.predict_log_proba(x)), share)
    assert estimator.score(x, y) == (table["y"] == y).mean()


def test_several_classes_and_one_hot_columns_are_sorted_too() -> None:
    for data, coder in (
        (frame(THREE), OrdinalEncoder(categories=[THREE])),
        (hot(THREE), None),
        (frame([2, 0, 1]), None),
    ):
        estimator, x = predictor_of(data, coder).as_estimator(), data[["x", "z"]]
        assert estimator.classes_.tolist() == sorted(estimator.predictor.classes)
        shares = estimator.predict_proba(x)
        assert estimator.classes_[shares.argmax(axis=1)].tolist() == estimator.predict(x).tolist()
        assert estimator.__sklearn_tags__().classifier_tags.multi_class


def test_what_fits_or_clones_it_is_refused_and_says_what_to_do() -> None:
    data = frame(TEXT)
    estimator = predictor_of(data, OrdinalEncoder(), analysis=BINARY).as_estimator()
    x, y = data[["x", "z"]], data["y"]
    swapped = y.map({"ok": "fraud", "fraud": "ok"})
    fitting: list[Any] = [
        lambda: estimator.fit(x, y),
        lambda: clone(estimator),
        lambda: cross_val_score(estimator, x, swapped, cv=2),
        lambda: cross_validate(estimator, x, swapped, cv=2),
        lambda: GridSearchCV(estimator, {}, cv=2).fit(x, y),
        lambda: VotingClassifier([("a", estimator)]).fit(x, y),
        lambda: CalibratedClassifierCV(estimator, cv=2).fit(x, y),
        lambda: make_pipeline(StandardScaler(), estimator).fit(x, y),
    ]
    for each in fitting:
        with pytest.raises(TrainingError, match=r"learns nothing more.*FrozenEstimator"):
            each()
    frozen = FrozenEstimator(estimator)
    assert clone(frozen) is frozen
    scaled = CalibratedClassifierCV(frozen).fit(x, y)
    assert scaled.predict_proba(x).shape == (len(x), 2)
    assert metrics.brier_score_loss(y == "ok", scaled.predict_proba(x)[:, 1]) < 0.25
    used = make_pipeline(FunctionTransformer(), frozen).fit(x, y)
    assert used.predict(x).tolist() == estimator.predict(x).tolist()
    found = permutation_importance(estimator, x, y, n_repeats=2, random_state=0)
    assert found.importances_mean.argmax() == 0
    drawn = CalibrationDisplay.from_estimator(estimator, x, y, pos_label="fraud")
    brier = metrics.brier_score_loss(y == "fraud", estimator.predict_proba(x)[:, 0])
    assert metrics.brier_score_loss(y == "fraud", drawn.y_prob) == pytest.approx(brier)


def test_a_file_works_in_any_process_whatever_its_store(tmp_path: Path) -> None:
    data = frame(TEXT)
    data.loc[3, "z"] = None
    predictor = predictor_of(data.fillna(0.0), OrdinalEncoder(), analysis=BINARY)
    estimator, x = predictor.as_estimator(), data[["x", "z"]].fillna(0.0)
    joblib.dump(make_pipeline(FunctionTransformer(), estimator), tmp_path / "model.joblib")
    x.to_pickle(tmp_path / "x.pkl")
    code = (
        "import sys, joblib, pandas; e = joblib.load(sys.argv[1]); "
        "x = pandas.read_pickle(sys.argv[2]); print(e.predict_proba(x)[:, 1].tolist()); "
        "print(e[-1].classes_.tolist(), e[-1].n_features_in_)"
    )
    there = tmp_path / "elsewhere"
    run = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "model.joblib", tmp_path / "x.pkl"],
        env={"AIQC_HOME": str(there), "PATH": "", "HOME": str(tmp_path)},
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    shares, about = run.stdout.splitlines()
    assert shares == str(estimator.predict_proba(x)[:, 1].tolist())
    assert about == "['fraud', 'ok'] 2"
    assert not there.exists()
    again = copy.deepcopy(estimator)
    assert again.predict(x).tolist() == estimator.predict(x).tolist()
    assert copy.deepcopy(again).predict(x).tolist() == estimator.predict(x).tolist()


def test_numbers_make_a_regressor() -> None:
    data = frame([float(i) for i in range(45)])
    estimator = predictor_of(data, StandardScaler(), analysis="regression").as_estimator()
    assert is_regressor(estimator)
    assert not hasattr(estimator, "predict_proba")
    assert not hasattr(estimator, "classes_")
    x = data[["x", "z"]]
    wanted = metrics.r2_score(data["y"], estimator.predict(x))
    assert estimator.score(x, data["y"]) == pytest.approx(wanted)
    from scipy import sparse

    with pytest.raises(SelectionError, match=r"is sparse; give it dense, by \.toarray\(\)"):
        estimator.predict(sparse.csr_array(x.to_numpy()))
