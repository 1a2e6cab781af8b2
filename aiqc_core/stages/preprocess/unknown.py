"""Values that an encoder did not see when it was fitted, and passes over without a word."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pandas as pd

from aiqc_core.stages.ingest.selection import SHOWN
from aiqc_core.stages.preprocess.encoders import COLUMN_CATEGORIES, is_a, known_categories
from aiqc_core.stages.preprocess.values import plain

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterator, Sequence

    from numpy.typing import NDArray

    from aiqc_core.stages.preprocess.encode import FittedEncoder

ONE_DIMENSION = "1D"  # see `encode.fit`
SAID_BETTER = r"Found unknown categories in columns|unknown class\(es\)"


@contextmanager
def told_by_us() -> Generator[None]:
    """Silence scikit-learn's own words on what `found` tells by column and count."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=SAID_BETTER, category=UserWarning)
        yield


def found(
    encoders: Sequence[FittedEncoder], rows: pd.DataFrame, filled: Collection[str] = ()
) -> str | None:
    """Say which values encoders will pass over: as no category, as an unknown or a rare one.

    Encoders that refuse such values are left to do so. Numbers beyond the bins or the range of a
    fit are no such values.

    Args:
        encoders: as fitted.
        rows: what they are to encode, `(samples × …, columns)`.
        filled: columns whose blanks are filled before that.

    Returns:
        For each column how many values, of how many, and some of them; None where there are none.

    >>> from sklearn import preprocessing
    >>> from aiqc_core.stages.preprocess import encode
    >>> ignoring = preprocessing.OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    >>> coder = encode.fit(pd.DataFrame({"a": ["x", "y"]}), ignoring)
    >>> found([coder], pd.DataFrame({"a": ["x", "z", "z"]}))
    "column 'a': 2 of 3 values, such as ['z'] (OneHotEncoder)"
    """
    told: list[str] = []
    for fitted in encoders:
        for name, values, is_new in _new(fitted, rows):
            new: Any = values[is_new & values.notna() if name in filled else is_new]
            if len(new):
                told.append(
                    f"column {name!r}: {len(new)} of {len(values)} values, such as "
                    f"{new.unique().tolist()[:SHOWN]} ({type(fitted.encoders[0]).__name__})"
                )
    return "; ".join(told) or None


def _new(fitted: FittedEncoder, rows: pd.DataFrame) -> Iterator[tuple[str, pd.Series, pd.Series]]:
    """Yield each column with its values, and which of them the encoder passes over."""
    first = fitted.encoders[0]
    if is_a(first, *COLUMN_CATEGORIES) and first.handle_unknown != "error":
        known = [each for encoder in fitted.encoders for each in known_categories(encoder) or []]
        for name, categories in zip(fitted.columns, known, strict=True):
            values = pd.Series(plain(rows.loc[:, name]))
            yield name, values, ~values.isin(list(categories))
    several = len(fitted.encoders) == len(fitted.columns)
    for i, name in enumerate(fitted.columns):
        passes = _passes(fitted.encoders[i] if several else first, fitted.dimension)
        if passes is not None:
            values = pd.Series(plain(rows.loc[:, name]))
            yield name, values, values.map(passes).astype(bool)


def _passes(encoder: Any, dimension: str) -> Any:
    """Return what says of a value whether the encoder knows nothing of it; None for others."""
    if is_a(encoder, "MultiLabelBinarizer"):  # it takes rows, or values, for sets of labels
        labels = set(encoder.classes_)
        if dimension == ONE_DIMENSION:
            return lambda value: not labels.issuperset(value)
        return lambda value: value not in labels
    if hasattr(encoder, "vocabulary_"):  # there are words, and none of them is known
        analyze, words = encoder.build_analyzer(), encoder.vocabulary_

        def has_no_word(text: Any) -> bool:
            said = analyze(text) if isinstance(text, str) else []
            return bool(said) and not any(word in words for word in said)

        return has_no_word
    return None


def as_rows(values: pd.DataFrame | NDArray[Any], columns: Sequence[str]) -> pd.DataFrame:
    """Return samples of any kind as rows of their columns, `(samples × …, columns)`."""
    if isinstance(values, pd.DataFrame):
        return values
    return pd.DataFrame(values.reshape(-1, values.shape[-1]), columns=list(columns))
