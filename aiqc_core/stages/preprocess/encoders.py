"""What AIQC knows about the encoders of scikit-learn."""

from __future__ import annotations

import inspect
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.analysis import AnalysisType
from aiqc_core.errors import PreprocessError
from aiqc_core.usercode import byvalue

if TYPE_CHECKING:
    from collections.abc import Generator

    from aiqc_core.stages.preprocess.values import Array

TEXT_MODULE = "sklearn.feature_extraction.text"
MODULES = ("sklearn.preprocessing", TEXT_MODULE)
TARGET_ENCODERS = ("LabelEncoder", "LabelBinarizer")
COLUMN_CATEGORIES = ("OneHotEncoder", "OrdinalEncoder")
CODERS = (*COLUMN_CATEGORIES, *TARGET_ENCODERS, "MultiLabelBinarizer")
MULTI_COLUMN, SINGLE_COLUMN, ONE_DIMENSION = "2D_multiColumn", "2D_singleColumn", "1D"
# What `encode` and `unknown` say by column, or callers find in the result.
REPEATED_WARNINGS = (
    r"Bins whose width|Feature \d+ is constant|Some values in column \d+ of the inverse"
    r"|Found unknown categories in columns|unknown class\(es\)"
)


@contextmanager
def quiet() -> Generator[None]:
    """Silence scikit-learn on what this package says better, and numpy on overflows."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.filterwarnings("ignore", message=REPEATED_WARNINGS)
        yield


def is_a(encoder: object, *names: str) -> bool:
    """Say whether an encoder is of one of these classes of `sklearn.preprocessing`, or below it.

    Names are compared, so that scikit-learn is not imported where there is no encoder.
    """
    return any(
        base.__name__ in names and base.__module__.startswith("sklearn.preprocessing.")
        for base in type(encoder).__mro__
    )


def checked(encoder: object) -> Any:
    """Return a clone of an encoder that gives dense arrays; the user's own object is not touched.

    It accepts transformers of `sklearn.preprocessing`, text vectorizers of
    `sklearn.feature_extraction.text`, which read one column at a time, and subclasses of them.
    A random encoder gets a fixed `random_state` where it has none. The user's functions and
    classes in an encoder are stored with it by value.

    Raises:
        PreprocessError: a class instead of an instance, a function, an encoder that learns from
            the label, one that holds what cannot be stored, or something else.
    """
    from sklearn.base import BaseEstimator

    if inspect.isclass(encoder):
        raise PreprocessError(
            f"sklearn_preprocess: the class {encoder.__name__}; give an instance, "
            f"{encoder.__name__}()."
        )
    is_transformer = (
        isinstance(encoder, BaseEstimator)
        and any(base.__module__.startswith(MODULES) for base in type(encoder).__mro__)
        and hasattr(encoder, "fit")
        and hasattr(encoder, "transform")
    )
    if not is_transformer:
        raise PreprocessError(
            f"sklearn_preprocess: {encoder!r}; give an instance of a class of "
            "sklearn.preprocessing, such as StandardScaler(), not a function such as scale."
        )
    transformer: Any = encoder
    parameters = inspect.signature(transformer.fit).parameters.values()
    needed = [p for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    if len(needed) > 1:
        raise PreprocessError(
            f"sklearn_preprocess: {encoder!r} learns from the label, which a coder does not see. "
            "Use OneHotEncoder() or OrdinalEncoder()."
        )
    dense = _dense(encoder)
    byvalue.packed(f"sklearn_preprocess: {dense!r}", dense, PreprocessError)
    return dense


def is_categorical(encoder: object) -> bool:
    """Say whether an encoder is fitted on all rows: it learns categories, or nothing."""
    return is_a(encoder, *CODERS, "Binarizer", "FunctionTransformer")


def has_inverse(encoder: Any) -> bool:
    """Say whether an encoder's output can be turned back into the values that went in.

    It cannot where rare categories are merged, sets of labels become flags, or words are counted.
    """
    if is_a(encoder, "FunctionTransformer"):
        return encoder.func is None or encoder.inverse_func is not None
    is_text = type(encoder).__module__.startswith(TEXT_MODULE)
    return hasattr(encoder, "inverse_transform") and not (is_text or _merges(encoder))


def _merges(encoder: Any) -> bool:
    """Say whether an encoder gives several categories one code."""
    if is_a(encoder, *COLUMN_CATEGORIES):
        return encoder.min_frequency is not None or encoder.max_categories is not None
    return is_a(encoder, "MultiLabelBinarizer")


def label_fault(encoder: Any) -> str | None:
    """Return why an encoder cannot be that of a label; None where its values may allow it."""
    if _merges(encoder):
        return (
            f"{encoder!r} does not tell the classes apart: it may give several one code. Use "
            "OrdinalEncoder(), LabelBinarizer() or OneHotEncoder() without min_frequency or "
            "max_categories."
        )
    if not has_inverse(encoder):
        return (
            f"{encoder!r} has no inverse, so predictions could not be decoded. Use one with "
            "inverse_transform (FunctionTransformer: inverse_func)."
        )
    return None


def analysis_fault(encoder: Any, analysis_type: str) -> str | None:
    """Return why the encoder of a label does not suit an analysis, whatever its values are."""
    if analysis_type == AnalysisType.REGRESSION and is_a(encoder, *CODERS, "KBinsDiscretizer"):
        return (
            f"{encoder!r} makes codes of classes, which a regression does not learn. Use a scaler "
            "such as StandardScaler(), no encoder, or a classification."
        )
    drops = is_a(encoder, "OneHotEncoder") and encoder.drop is not None
    if drops and analysis_type == AnalysisType.MULTI and encoder.drop != "if_binary":
        return f"{encoder!r} does not tell the classes apart: one has no column. Leave drop out."
    return None


def known_categories(fitted: Any) -> list[Array] | None:
    """Return the categories a fitted encoder knows, one array a column; None if it knows none."""
    if is_a(fitted, *TARGET_ENCODERS):
        return [np.asarray(fitted.classes_)]
    return list(fitted.categories_) if is_a(fitted, *COLUMN_CATEGORIES) else None


def code_counts(fitted: Any) -> list[int] | None:
    """Return how many codes each output column has; None where they are no ordinal codes."""
    if is_a(fitted, "OrdinalEncoder", "LabelEncoder"):
        return [len(categories) for categories in known_categories(fitted) or []]
    is_ordinal = is_a(fitted, "KBinsDiscretizer") and fitted.encode == "ordinal"
    return fitted.n_bins_.tolist() if is_ordinal else None


def _dense(encoder: Any) -> Any:
    from sklearn.base import clone

    dense: Any = clone(encoder)
    wanted = {"sparse_output": False, "copy": True}  # in place, it would change the caller's rows
    parameters = dense.get_params(deep=False)
    dense.set_params(**{name: value for name, value in wanted.items() if name in parameters})
    if parameters.get("random_state", 0) is None:  # it learns from a random part of many rows
        dense.set_params(random_state=0)
    if parameters.get("encode") == "onehot":
        dense.set_params(encode="onehot-dense")
    if hasattr(dense, "set_output"):
        dense.set_output(transform="default")
    return dense
