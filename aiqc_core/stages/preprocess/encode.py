"""Encoders of scikit-learn: `fit` returns a state, `apply` and `invert` use it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.api import types

from aiqc_core import frames
from aiqc_core.errors import PreprocessError
from aiqc_core.stages.ingest.selection import checked_columns
from aiqc_core.stages.preprocess import naming, unknown
from aiqc_core.stages.preprocess.encoders import (
    COLUMN_CATEGORIES,
    MULTI_COLUMN,
    ONE_DIMENSION,
    SINGLE_COLUMN,
    TARGET_ENCODERS,
    checked,
    code_counts,
    has_inverse,
    is_a,
    is_categorical,
    known_categories,
    quiet,
)
from aiqc_core.stages.preprocess.values import (
    INFINITE,
    MISSING,
    not_finite,
    plain,
    refuse_not_finite,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from aiqc_core.stages.preprocess.values import Array


__all__ = ["FittedEncoder", "apply", "checked", "fit", "has_inverse", "invert", "is_categorical"]

DIMENSIONS = (MULTI_COLUMN, SINGLE_COLUMN, ONE_DIMENSION)
TABLE_AXES = 2
ONE_HOT = ("OneHotEncoder", "LabelBinarizer")
HEAD_ROWS = 1000
MANY = 1000  # categories from which on a one-hot table is more likely a mistake


@dataclass(frozen=True, slots=True)
class FittedEncoder:
    """What an encoder learned."""

    encoders: tuple[Any, ...]  # one for all columns, or one a column
    dimension: str  # how it takes columns, see `fit`
    columns: tuple[str, ...]  # as fitted, in order
    output_columns: tuple[str, ...]  # a name for each column it makes
    widths: tuple[int, ...]  # how many columns each of `encoders` makes
    groups: tuple[tuple[int, ...], ...]  # positions of the output columns made from each column


def fit(frame: pd.DataFrame, encoder: Any, *, dimension: str | None = None) -> FittedEncoder:
    """Fit an encoder on rows, and warn about columns that it learns nothing from.

    Args:
        frame: the columns to encode, `(samples, columns)`.
        encoder: what `checked` returned; it is cloned for each fit.
        dimension: how it takes columns; None tries all at once, then each as `(samples, 1)`, then
            each as `(samples,)`.

    Raises:
        PreprocessError: it takes them in no way; the message gives the reason for each.
    """
    reasons: dict[str, str] = {}
    cause: Exception | None = None
    for tried in DIMENSIONS if dimension is None else (dimension,):
        if tried == MULTI_COLUMN and is_a(encoder, *TARGET_ENCODERS):
            continue  # they would take (samples, columns) for a multi-label target
        try:
            return _fit(frame, encoder, tried)
        except Exception as error:  # noqa: BLE001 - a FunctionTransformer raises what its user wrote
            reason, *_ = (frames.message_of(error) or repr(error)).splitlines()
            reasons[tried] = reason + frames.place(error)
            cause = error
    _refuse_not_finite(frame, encoder, reasons.values())
    dtypes = {name: str(dtype) for name, dtype in frame.dtypes.items()}
    ways = "; ".join(f"as {tried}: {reason}" for tried, reason in reasons.items())
    raise PreprocessError(
        f"sklearn_preprocess: {encoder!r} cannot be fitted on the columns {dtypes}: {ways}. "
        "Choose columns or dtypes that it takes, or another encoder."
    ) from cause


def apply(fitted: FittedEncoder, frame: pd.DataFrame) -> Array:
    """Encode rows: `(samples, output columns)`, dense and numeric.

    `frame` has the fitted columns by name, among others and in any order.

    Raises:
        PreprocessError: a category that the fit did not see, where the encoder does not allow it.
        SelectionError: a column is missing.
    """
    rows = frame.loc[:, checked_columns("columns", list(fitted.columns), list(frame.columns))]
    if is_a(fitted.encoders[0], "LabelBinarizer"):
        unknown.refuse(fitted, rows)  # it would silently encode them as no class
    try:
        with quiet():  # what overflows is infinite, and refused as such
            blocks = list(_blocks(fitted, rows))
            encoded = blocks[0] if len(blocks) == 1 else np.hstack(blocks)
    except Exception as error:  # a FunctionTransformer raises what its user wrote
        unknown.refuse(fitted, rows)
        _refuse_not_finite(rows, fitted.encoders[0], [str(error)])
        raise PreprocessError(
            f"columns {list(fitted.columns)} cannot be encoded by {fitted.encoders[0]!r}: {error}"
            f"{frames.place(error)}."
        ) from error
    if encoded.dtype.kind not in "iuf" or encoded.shape[1] != len(fitted.output_columns):
        raise PreprocessError(
            f"columns {list(fitted.columns)}: {fitted.encoders[0]!r} gives {encoded.shape[1]} "
            f"columns of {encoded.dtype}; numbers in {len(fitted.output_columns)} columns are "
            "needed, as when it was fitted."
        )
    return encoded


def invert(fitted: FittedEncoder, values: Array) -> pd.DataFrame:
    """Turn encoded rows `(samples, output columns)` back into the original columns.

    Where the inverse is undefined, as beyond the range of a power transform, values are NaN, with
    a warning.

    Raises:
        PreprocessError: the encoder has no true inverse, or does not know a code.
    """
    if not has_inverse(fitted.encoders[0]):
        raise PreprocessError(
            f"{fitted.encoders[0]!r} has no true inverse, so its values cannot be decoded. Use "
            "another encoder (FunctionTransformer: give inverse_func)."
        )
    splits = np.cumsum(fitted.widths)[:-1]
    try:
        with quiet():  # what overflows is found below
            blocks = zip(fitted.encoders, np.split(values, splits, axis=1), strict=True)
            parts = [_inverted(encoder, block, fitted.dimension) for encoder, block in blocks]
    except Exception as error:
        raise PreprocessError(
            f"columns {list(fitted.columns)}: {fitted.encoders[0]!r} cannot decode: {error}"
            f"{frames.place(error)}."
        ) from error
    frame = pd.DataFrame(np.hstack(parts), columns=list(fitted.columns)).infer_objects()
    sound = np.isfinite(values.astype(float)).all(axis=1)
    for name, column in frame.items():
        is_float = types.is_float_dtype(column.dtype)
        undefined = int((~np.isfinite(column.to_numpy()) & sound).sum()) if is_float else 0
        if undefined:
            warnings.warn(
                f"column {name!r}: {undefined} of {len(frame)} values lie where the inverse "
                f"of {fitted.encoders[0]!r} is not defined; they are decoded to NaN or inf. "
                "Use StandardScaler() or MinMaxScaler() to decode any value.",
                stacklevel=2,
            )
    return frame


def nearest_codes(steps: Sequence[FittedEncoder], values: Array) -> Array:
    """Return a copy of encoded rows with each ordinal code set to the nearest known one.

    A model may give 1.9 for 2, or 3.1 where 2 is the last code. The inverses of scikit-learn cut
    the first to 1 and raise for the second. Columns beyond those of `steps` stay as they are.
    """
    rounded = np.array(values)
    start = 0
    for step in steps:
        for encoder, width in zip(step.encoders, step.widths, strict=True):
            if (counts := code_counts(encoder)) is not None:
                block = rounded[:, start : start + width]
                np.clip(np.rint(block), 0, np.asarray(counts) - 1, out=block)
            start += width
    return rounded


def _fit(frame: pd.DataFrame, encoder: Any, dimension: str) -> FittedEncoder:
    from sklearn.base import clone
    from sklearn.exceptions import DataConversionWarning

    columns = tuple(map(str, frame.columns))
    parts = list(_parts(frame, encoder, dimension))
    with quiet():
        warnings.simplefilter("error", DataConversionWarning)  # it wants another dimension
        clones: list[Any] = [clone(encoder) for _ in parts]
        encoders = [each.fit(part) for each, part in zip(clones, parts, strict=True)]
        draft = FittedEncoder(tuple(encoders), dimension, columns, (), (), ())
        widths = tuple(block.shape[1] for block in _blocks(draft, frame.head(2)))
    learned = [value for each in encoders for value in vars(each).values()]
    arrays = [v for v in learned if isinstance(v, np.ndarray) and v.dtype.kind == "f"]
    if any(np.isinf(array).any() for array in arrays):
        raise OverflowError("what it learns overflows to infinity")
    inputs = [columns] if dimension == MULTI_COLUMN else [(name,) for name in columns]
    names: list[str] = []
    groups: list[tuple[int, ...]] = []
    for fitted, own, part, width in zip(encoders, inputs, parts, widths, strict=True):
        _settle(fitted, own, part)
        if dimension == MULTI_COLUMN:
            names, groups = naming.of_columns(columns, fitted, width)
        else:
            groups.append(tuple(range(len(names), len(names) + width)))
            names += naming.of_column(own[0], fitted, width)
    output = tuple(naming.unique(names))
    return FittedEncoder(draft.encoders, dimension, columns, output, widths, tuple(groups))


def _blocks(fitted: FittedEncoder, rows: pd.DataFrame) -> Iterator[Array]:
    parts = _parts(rows, fitted.encoders[0], fitted.dimension)
    for encoder, part in zip(fitted.encoders, parts, strict=True):
        block: Any = encoder.transform(part)
        dense = block.toarray() if hasattr(block, "toarray") else np.asarray(block)  # sparse
        dense = dense.reshape(-1, 1) if dense.ndim == 1 else dense
        if dense.ndim != TABLE_AXES or len(dense) != len(rows):
            raise ValueError(f"it makes shape {dense.shape} of {len(rows)} rows")
        yield dense.astype(np.int8) if dense.dtype == bool else dense


def _parts(rows: pd.DataFrame, encoder: Any, dimension: str) -> Iterator[Array]:
    """Yield what each clone of an encoder takes."""
    if dimension == MULTI_COLUMN:
        yield table(rows, exact=is_a(encoder, *COLUMN_CATEGORIES))
    else:
        for name in rows.columns:
            values = plain(rows.loc[:, name])
            yield values.reshape(-1, 1) if dimension == SINGLE_COLUMN else values


def _inverted(encoder: Any, part: Array, dimension: str) -> Array:
    """Return the original columns of one encoder, `(samples, columns)`."""
    codes = part.ravel() if dimension == ONE_DIMENSION and part.shape[1] == 1 else part
    if is_a(encoder, "LabelEncoder"):
        codes = np.rint(part.ravel()).astype(np.int64)
    return np.asarray(encoder.inverse_transform(codes)).reshape(len(part), -1)


def _refuse_not_finite(rows: pd.DataFrame, encoder: Any, reasons: Iterable[str]) -> None:
    """Refuse missing or infinite values by column, where an encoder names them as its reason."""
    reason = " ".join(reasons)
    # What takes no NaN takes no infinite value either.
    refused = [MISSING, INFINITE] if "NaN" in reason else [INFINITE] * ("infinity" in reason)
    found = not_finite(rows) if refused else {}
    called = {MISSING: f"{MISSING} (NaN)", INFINITE: INFINITE}
    refuse_not_finite(repr(encoder), [(called[kind], found[kind]) for kind in refused])


def _settle(encoder: Any, columns: Sequence[str], values: Array) -> None:
    """Warn about columns that give a fitted encoder nothing, and make their inverse finite.

    `values`, `(samples, columns)` or `(samples,)`, are what it was fitted on.
    """
    rows = values.reshape(len(values), -1)
    if is_a(encoder, "KBinsDiscretizer"):
        _settle_bins(encoder, columns, rows)
        return
    if is_a(encoder, *ONE_HOT) and has_inverse(encoder):  # without, it merges rare ones
        for name, known in zip(columns, known_categories(encoder) or [], strict=True):
            if len(known) > MANY:
                warnings.warn(
                    f"column {name!r} has {len(known)} categories, each of which {encoder!r} "
                    "makes a column. Leave it a number if it measures; else merge rare ones.",
                    stacklevel=5,
                )
    if len(rows) > 1 and not is_categorical(encoder) and rows.dtype.kind in "iuf":
        # Most columns vary within the first rows already.
        likely = np.flatnonzero((rows[:HEAD_ROWS] == rows[0]).all(axis=0)).tolist()
        constant = [columns[i] for i in likely if (rows[:, i] == rows[0, i]).all()]
        if constant:
            warnings.warn(
                f"columns {constant} are constant in the rows that {encoder!r} was fitted on: "
                "encoded they teach nothing. Leave them out with exclude_columns.",
                stacklevel=5,
            )


def _settle_bins(encoder: Any, columns: Sequence[str], rows: Array) -> None:
    asked = np.broadcast_to(encoder.n_bins, len(columns))
    for index, name in enumerate(columns):
        kept = int(encoder.n_bins_[index])
        if kept == asked[index]:
            continue
        warnings.warn(
            f"column {name!r}: its values allow {kept} of the {asked[index]} bins of {encoder!r}"
            f"{', so that it teaches nothing' if kept == 1 else ''}. Use fewer bins, or "
            "strategy='uniform'.",
            stacklevel=6,
        )
        edges = encoder.bin_edges_[index]
        if not np.isfinite(edges).all():  # a constant has -inf and inf, and their middle is NaN
            encoder.bin_edges_[index] = np.full(len(edges), rows[0, index], dtype=float)
