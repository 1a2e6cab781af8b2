"""Which class each code of a label's encoder stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from aiqc_core.errors import PreprocessError
from aiqc_core.stages.preprocess import encode
from aiqc_core.stages.preprocess.encoders import known_categories

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiqc_core.stages.preprocess.encode import FittedEncoder
    from aiqc_core.stages.preprocess.values import Array


def by_code(
    encoder: FittedEncoder | None, frame: pd.DataFrame, classes: Sequence[Any] | None
) -> tuple[Any, ...] | None:
    """Return the classes of a label in the order of their codes.

    Each class is encoded, so that any encoder gives the true order, as
    `OrdinalEncoder(categories=…)` does. Without an encoder the order is that of `classes`.

    Args:
        encoder: fitted on the label, if any.
        frame: rows of the label that hold all of its classes.
        classes: the sorted classes, or the one-hot columns; None for a continuous label.

    Returns:
        The classes, with those that only the encoder knows; None for a continuous label, and
        where codes are neither `0…k-1` in one column nor one-hot in k columns, a code stands for
        several classes, or a class has no code.
    """
    if encoder is None or classes is None:
        return None if classes is None else tuple(classes)
    rows, names = _one_of_each(encoder, frame, classes)
    try:
        encoded = np.asarray(encode.apply(encoder, rows))
    except PreprocessError:  # a class that the encoder does not know
        return None
    ordinals = _ordinals(encoded)
    if ordinals is None or not np.array_equal(np.sort(ordinals), np.arange(len(names))):
        return None
    return tuple(names[place] for place in np.argsort(ordinals))


def _one_of_each(
    encoder: FittedEncoder, frame: pd.DataFrame, classes: Sequence[Any]
) -> tuple[pd.DataFrame, list[Any]]:
    """Return a row for each class, and the classes in the order of these rows."""
    if len(frame.columns) > 1:
        hot = pd.DataFrame(np.eye(len(frame.columns)), columns=frame.columns)
        return hot.astype(dict(frame.dtypes)), list(classes)
    distinct = frame.dropna().drop_duplicates()
    known = known_categories(encoder.encoders[0])
    if known is None or len(known) != 1:
        return distinct, distinct.iloc[:, 0].tolist()
    missed = distinct[~distinct.iloc[:, 0].isin(list(known[0]))]
    rows = pd.DataFrame({frame.columns[0]: known[0]})
    names = known[0].tolist()
    if len(missed):  # the encoder says what it makes of them
        names += missed.iloc[:, 0].tolist()
        rows = pd.DataFrame({frame.columns[0]: pd.Series(names, dtype=object)})
    return rows, names


def _ordinals(encoded: Array) -> Array | None:
    """Return the ordinal of each row; None where a row is no class."""
    if encoded.shape[1] == 1:
        return encoded.ravel()
    is_hot = np.isin(encoded, (0, 1)).all(axis=1) & (encoded.sum(axis=1) == 1)
    if not is_hot.all() or encoded.shape[1] != len(encoded):
        return None
    return encoded.argmax(axis=1)
