"""Values that an encoder did not see when it was fitted: passed over silently, or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from aiqc_core.errors import PreprocessError
from aiqc_core.stages.ingest.selection import SHOWN
from aiqc_core.stages.preprocess.encoders import (
    COLUMN_CATEGORIES,
    ONE_DIMENSION,
    is_a,
    known_categories,
)
from aiqc_core.stages.preprocess.values import plain

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from aiqc_core.stages.preprocess.encode import FittedEncoder


def found(
    encoders: Sequence[FittedEncoder], rows: pd.DataFrame, filled: Collection[str] = ()
) -> str | None:
    """Say which values encoders pass over: as no category, as an unknown or a rare one.

    Values that an encoder refuses do not count, nor numbers beyond the bins or the range of a fit.
    `rows`, `(samples × …, columns)`, are to be encoded, the blanks of the columns `filled` filled
    before. The text has for each column how many values, of how many, and some of them.

    >>> from sklearn import preprocessing
    >>> from aiqc_core.stages.preprocess import encode
    >>> ignoring = preprocessing.OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    >>> coder = encode.fit(pd.DataFrame({"a": ["x", "y"]}), ignoring)
    >>> found([coder], pd.DataFrame({"a": ["x", "z", "z"]}))
    "column 'a': 2 of 3 values, such as ['z'] (OneHotEncoder)"
    """
    parts: list[str] = []
    for fitted in encoders:
        for name, values, is_new in _passed_over(fitted, rows):
            new: Any = values[is_new & values.notna() if name in filled else is_new]
            if len(new):
                parts.append(
                    f"column {name!r}: {len(new)} of {len(values)} values, such as "
                    f"{new.unique().tolist()[:SHOWN]} ({type(fitted.encoders[0]).__name__})"
                )
    return "; ".join(parts) or None


def refuse(fitted: FittedEncoder, rows: pd.DataFrame) -> None:
    """Raise `PreprocessError` for categories that the fit did not see and does not handle."""
    if getattr(fitted.encoders[0], "handle_unknown", "error") != "error":
        return
    unseen: dict[str, list[Any]] = {}
    for name, values, is_new in _outside_categories(fitted, rows):
        new: Any = values[is_new]
        if len(new):
            unseen[name] = new.unique().tolist()[:SHOWN]
    if unseen:
        raise PreprocessError(
            f"values that {fitted.encoders[0]!r} did not see when it was fitted, by column: "
            f"{unseen}. Leave these rows out, or fit it again on data that holds them."
        )


def _outside_categories(
    fitted: FittedEncoder, rows: pd.DataFrame
) -> Iterator[tuple[str, pd.Series, pd.Series]]:
    """Yield each column of known categories with its values, and which of them are unknown."""
    known = [each for encoder in fitted.encoders for each in known_categories(encoder) or []]
    for name, categories in zip(fitted.columns, known, strict=False):
        values = pd.Series(plain(rows.loc[:, name]))
        yield name, values, ~values.isin(list(categories))


def _passed_over(
    fitted: FittedEncoder, rows: pd.DataFrame
) -> Iterator[tuple[str, pd.Series, pd.Series]]:
    """Yield each column with its values, and which of them the encoder passes over."""
    first = fitted.encoders[0]
    if is_a(first, *COLUMN_CATEGORIES) and first.handle_unknown != "error":
        yield from _outside_categories(fitted, rows)
    several = len(fitted.encoders) == len(fitted.columns)
    for i, name in enumerate(fitted.columns):
        passes = _passes(fitted.encoders[i] if several else first, fitted.dimension)
        if passes is not None:
            values = pd.Series(plain(rows.loc[:, name]))
            yield name, values, values.map(passes).astype(bool)


def _passes(encoder: Any, dimension: str) -> Any:
    """Return the function that says if an encoder knows nothing of a value; None for others."""
    if is_a(encoder, "MultiLabelBinarizer"):  # it takes rows, or values, for sets of labels
        labels = set(encoder.classes_)
        if dimension == ONE_DIMENSION:
            return lambda value: not labels.issuperset(value)
        return lambda value: value not in labels
    if not hasattr(encoder, "vocabulary_"):
        return None
    analyze, vocabulary = encoder.build_analyzer(), encoder.vocabulary_.keys()

    def has_no_known_word(text: Any) -> bool:
        words = analyze(text) if isinstance(text, str) else []
        return bool(words) and vocabulary.isdisjoint(words)

    return has_no_known_word
