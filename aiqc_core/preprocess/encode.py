"""scikit-learn encoders as a fit that gives a state, and functions that apply and invert it."""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn import preprocessing
from sklearn.base import BaseEstimator, clone

from aiqc_core.errors import PreprocessError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

MULTI_COLUMN, SINGLE_COLUMN, ONE_DIMENSION = "2D_multiColumn", "2D_singleColumn", "1D"
DIMENSIONS = (MULTI_COLUMN, SINGLE_COLUMN, ONE_DIMENSION)
CATEGORICAL = (
    preprocessing.OneHotEncoder,
    preprocessing.OrdinalEncoder,
    preprocessing.LabelEncoder,
    preprocessing.LabelBinarizer,
    preprocessing.MultiLabelBinarizer,
    preprocessing.Binarizer,
    preprocessing.FunctionTransformer,
)
TARGET_ENCODERS = (preprocessing.LabelEncoder, preprocessing.LabelBinarizer)
NO_INVERSE = (preprocessing.Binarizer, preprocessing.Normalizer)
SHOWN = 5
NEARLY_CONSTANT = 1e-9


@dataclass(frozen=True, slots=True)
class FittedEncoder:
    """What an encoder learned.

    Attributes:
        encoders: one for all columns, or one a column.
        dimension: how it takes columns: `'2D_multiColumn'`, `'2D_singleColumn'` or `'1D'`.
        columns: the columns it was fitted on, in order.
        output_columns: a name for each column it makes.
        widths: how many columns each of `encoders` makes.
        groups: for each input column the positions of the output columns that follow from it.
    """

    encoders: tuple[Any, ...]
    dimension: str
    columns: tuple[str, ...]
    output_columns: tuple[str, ...]
    widths: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]


def checked(encoder: object) -> Any:
    """Return a clone of an encoder that gives dense arrays; the user's own object is not touched.

    Accepted are instances of scikit-learn's transformers with `fit` and `transform`: those of
    `sklearn.preprocessing`, and the text vectorizers of `sklearn.feature_extraction`, which work
    on one column.

    Raises:
        PreprocessError: a class instead of an instance, a function, or something else.

    >>> checked(preprocessing.OneHotEncoder()).sparse_output
    False
    """
    if inspect.isclass(encoder):
        raise PreprocessError(
            f"sklearn_preprocess: the class {encoder.__name__}; give an instance: "
            f"{encoder.__name__}()."
        )
    is_transformer = (
        isinstance(encoder, BaseEstimator)
        and hasattr(encoder, "fit")
        and hasattr(encoder, "transform")
        and type(encoder).__module__.startswith("sklearn.")
    )
    if not is_transformer:
        raise PreprocessError(
            f"sklearn_preprocess: {encoder!r}; give an instance of a class of "
            "sklearn.preprocessing, such as StandardScaler()."
        )
    dense: Any = clone(encoder)
    parameters = dense.get_params(deep=False)
    if "sparse_output" in parameters:
        dense.set_params(sparse_output=False)
    if parameters.get("encode") == "onehot":
        dense.set_params(encode="onehot-dense")
    return dense


def is_categorical(encoder: object) -> bool:
    """Say whether an encoder is fitted on all rows: it learns categories, or nothing."""
    return isinstance(encoder, CATEGORICAL)


def has_inverse(encoder: Any) -> bool:
    """Say whether an encoder's output can be turned back into the values that went in."""
    if isinstance(encoder, preprocessing.FunctionTransformer):
        return encoder.inverse_func is not None
    return hasattr(encoder, "inverse_transform") and not isinstance(encoder, NO_INVERSE)


def fit(frame: pd.DataFrame, encoder: Any, *, dimension: str | None = None) -> FittedEncoder:
    """Fit an encoder on rows.

    Args:
        frame: the columns to encode, `(samples, columns)`.
        encoder: what `checked` gave; it is cloned for each fit.
        dimension: how it takes columns; None tries all at once, then each as `(samples, 1)`, then
            each as `(samples,)`.

    Raises:
        PreprocessError: it takes them no way; the message holds each way's reason.
    """
    reasons = {}
    for tried in DIMENSIONS if dimension is None else (dimension,):
        if tried == MULTI_COLUMN and isinstance(encoder, TARGET_ENCODERS):
            continue  # they would take (n, k) for a multi-label target
        try:
            fitted = _fit(frame, encoder, tried)
        except (ValueError, TypeError, AttributeError, IndexError) as error:
            reasons[tried] = str(error).splitlines()[0]
        else:
            _warn_constant(frame, fitted)
            return fitted
    raise PreprocessError(
        f"sklearn_preprocess: {encoder!r} cannot be fitted on columns {list(frame.columns)} with "
        f"dtypes {[str(d) for d in frame.dtypes]}: {reasons}."
    )


def apply(fitted: FittedEncoder, frame: pd.DataFrame) -> NDArray[Any]:
    """Encode rows: `(samples, output columns)`, dense and numeric.

    Raises:
        PreprocessError: a category that the fit did not see, where the encoder does not allow it.
    """
    _refuse_unseen_targets(fitted, frame)
    try:
        return _apply(fitted, frame)
    except ValueError as error:
        raise PreprocessError(
            f"columns {list(fitted.columns)} cannot be encoded by {fitted.encoders[0]!r}: "
            f"{_unseen(fitted, frame) or error}."
        ) from error


def invert(fitted: FittedEncoder, values: NDArray[Any]) -> pd.DataFrame:
    """Turn encoded rows `(samples, output columns)` back into the original columns.

    Raises:
        PreprocessError: the encoder has no true inverse.
    """
    if not has_inverse(fitted.encoders[0]):
        raise PreprocessError(f"{fitted.encoders[0]!r} has no inverse; use another encoder.")
    if fitted.dimension == MULTI_COLUMN:
        back = fitted.encoders[0].inverse_transform(values)
        return pd.DataFrame(np.asarray(back), columns=list(fitted.columns))
    starts = np.cumsum([0, *fitted.widths])
    columns = {}
    for i, (name, encoder) in enumerate(zip(fitted.columns, fitted.encoders, strict=True)):
        part = values[:, starts[i] : starts[i + 1]]
        if isinstance(encoder, preprocessing.LabelEncoder):
            part = part.ravel().astype(np.int64)
        elif fitted.dimension == ONE_DIMENSION and part.shape[1] == 1:
            part = part.ravel() if not isinstance(encoder, TARGET_ENCODERS) else part
        columns[name] = np.asarray(encoder.inverse_transform(part)).ravel()
    return pd.DataFrame(columns)


def _fit(frame: pd.DataFrame, encoder: Any, dimension: str) -> FittedEncoder:
    encoders = tuple(clone(encoder).fit(part) for part in _parts(frame, dimension))
    draft = FittedEncoder(encoders, dimension, tuple(frame.columns), (), (), ())
    blocks = list(_blocks(draft, frame.head(2) if len(frame) > 1 else frame))
    widths = tuple(block.shape[1] for block in blocks)
    names, groups = _output(draft, widths)
    return FittedEncoder(encoders, dimension, tuple(frame.columns), names, widths, groups)


def _parts(frame: pd.DataFrame, dimension: str) -> Iterator[Any]:
    if dimension == MULTI_COLUMN:
        yield _values(frame)
    else:
        for name in frame.columns:
            column = _values(frame[[name]])
            yield column if dimension == SINGLE_COLUMN else column.ravel()


def _values(frame: pd.DataFrame) -> NDArray[Any]:
    """Return values as an array that scikit-learn takes: floats for numbers, else objects."""
    values = frame.to_numpy()
    if values.dtype == object and all(
        pd.api.types.is_numeric_dtype(d) or pd.api.types.is_bool_dtype(d) for d in frame.dtypes
    ):
        return frame.to_numpy(dtype=float, na_value=np.nan)
    return values


def _apply(fitted: FittedEncoder, frame: pd.DataFrame) -> NDArray[Any]:
    encoded = np.hstack(list(_blocks(fitted, frame)))
    if encoded.dtype == object:
        raise ValueError("its output is not numeric")
    return encoded


def _blocks(fitted: FittedEncoder, frame: pd.DataFrame) -> Iterator[NDArray[Any]]:
    parts = _parts(frame[list(fitted.columns)], fitted.dimension)
    for encoder, part in zip(fitted.encoders, parts, strict=True):
        block = encoder.transform(part)
        dense = block.toarray() if sparse.issparse(block) else np.asarray(block)
        yield dense.reshape(len(frame), -1)


def _output(
    fitted: FittedEncoder, widths: tuple[int, ...]
) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """Name the output columns, and say which follow from which input column."""
    if fitted.dimension != MULTI_COLUMN:
        names, groups, start = [], [], 0
        for column, encoder, width in zip(fitted.columns, fitted.encoders, widths, strict=True):
            names += _names_of_one(column, encoder, width)
            groups.append(tuple(range(start, start + width)))
            start += width
        return tuple(names), tuple(groups)
    if widths[0] == len(fitted.columns):
        return fitted.columns, tuple((i,) for i in range(widths[0]))
    (encoder,), tokens = fitted.encoders, [f"\0{i}\0" for i in range(len(fitted.columns))]
    if not hasattr(encoder, "get_feature_names_out"):
        every = tuple(range(widths[0]))
        return _numbered(fitted.columns, widths[0]), tuple(every for _ in fitted.columns)
    tokened = [str(name) for name in encoder.get_feature_names_out(tokens)]
    groups = [tuple(i for i, name in enumerate(tokened) if token in name) for token in tokens]
    for token, column in zip(tokens, fitted.columns, strict=True):
        tokened = [name.replace(token, column) for name in tokened]
    return _unique(tokened), tuple(groups)


def _names_of_one(column: str, encoder: Any, width: int) -> list[str]:
    if width == 1:
        return [column]
    if hasattr(encoder, "classes_"):
        return [f"{column}_{value}" for value in encoder.classes_]
    if hasattr(encoder, "get_feature_names_out"):
        try:
            return [str(name) for name in encoder.get_feature_names_out([column])]
        except (ValueError, TypeError):  # vectorizers take no names, and give their words
            return [f"{column}_{name}" for name in encoder.get_feature_names_out()]
    return list(_numbered((column,), width))


def _numbered(columns: tuple[str, ...], width: int) -> tuple[str, ...]:
    return tuple(f"{'+'.join(columns)}_{i}" for i in range(width))


def _unique(names: list[str]) -> tuple[str, ...]:
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return tuple(result)


def _warn_constant(frame: pd.DataFrame, fitted: FittedEncoder) -> None:
    """Tell of columns that an encoder makes the same for every row."""
    if len(frame) == 1:
        return
    encoded = _apply(fitted, frame).astype(float)
    spread = np.ptp(encoded, axis=0)
    flat = [
        column
        for column, group in zip(fitted.columns, fitted.groups, strict=True)
        if group and (spread[list(group)] < NEARLY_CONSTANT).all()
    ]
    bins = {
        column: int(encoder.n_bins_[i])
        for encoder in fitted.encoders
        if isinstance(encoder, preprocessing.KBinsDiscretizer)
        for i, column in enumerate(flat)
    }
    if flat:
        kept = f" (bins kept: {bins})" if bins else ""
        warnings.warn(
            f"columns {flat} are the same for every row once encoded{kept}: they teach nothing. "
            "Leave them out, or use another encoder.",
            stacklevel=4,
        )


def _refuse_unseen_targets(fitted: FittedEncoder, frame: pd.DataFrame) -> None:
    """Refuse what LabelBinarizer would encode as no class at all."""
    for name, encoder in zip(fitted.columns, fitted.encoders, strict=False):
        if isinstance(encoder, TARGET_ENCODERS):
            present = frame[name].dropna().unique()
            unseen = sorted(map(str, set(present) - set(encoder.classes_.tolist())))
            if unseen:
                raise PreprocessError(
                    f"column {name!r} holds values that the fit did not see: {unseen[:SHOWN]}; it "
                    f"knows {encoder.classes_.tolist()[:SHOWN]}."
                )


def _unseen(fitted: FittedEncoder, frame: pd.DataFrame) -> str | None:
    """Name the columns and categories that a categorical encoder did not see."""
    known = [
        categories
        for encoder in fitted.encoders
        for categories in getattr(encoder, "categories_", [])
    ]
    if len(known) != len(fitted.columns):
        return None
    found = {
        name: sorted(map(str, set(frame[name].dropna()) - set(categories.tolist())))[:SHOWN]
        for name, categories in zip(fitted.columns, known, strict=True)
    }
    unseen = {name: values for name, values in found.items() if values}
    return f"values that the fit did not see: {unseen}" if unseen else None
