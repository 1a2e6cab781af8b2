"""Names of encoded columns, and from which original column each is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiqc_core.stages.preprocess.encoders import is_a

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence


def of_column(column: str, encoder: Any, width: int) -> list[str]:
    """Name what a fitted encoder makes of one column: `<column>`, or `<column>_<category>`.

    >>> from sklearn import preprocessing
    >>> of_column("a", preprocessing.LabelBinarizer().fit(["x", "y", "z"]), 3)
    ['a_x', 'a_y', 'a_z']
    """
    if is_a(encoder, "OneHotEncoder"):
        return [str(name) for name in encoder.get_feature_names_out([column])]
    if width == 1:
        return [column]
    parts = getattr(encoder, "classes_", None)
    if parts is None and hasattr(encoder, "vocabulary_"):
        parts = encoder.get_feature_names_out()
    if parts is not None and len(parts) == width:
        return [f"{column}_{part}" for part in parts]
    names = _sklearn_names(encoder, [column])
    return names if len(names) == width else [f"{column}_{index}" for index in range(width)]


def of_columns(
    columns: Sequence[str], encoder: Any, width: int
) -> tuple[list[str], list[tuple[int, ...]]]:
    """Name what a fitted encoder makes of several columns at once.

    Returns:
        The names, and for each column the positions of the names made from it.

    >>> from sklearn import preprocessing
    >>> fitted = preprocessing.OneHotEncoder().fit([["x", 1], ["y", 1]])
    >>> of_columns(["a", "b"], fitted, 3)
    (['a_x', 'a_y', 'b_1'], [(0, 1), (2,)])
    """
    # Stand-ins that no category contains show which names were made from which column.
    tokens = [f"\0{index}\0" for index in range(len(columns))]
    names = _sklearn_names(encoder, tokens)
    if len(names) == width and any(token in name for name in names for token in tokens):
        groups = [tuple(i for i, name in enumerate(names) if token in name) for token in tokens]
        for token, column in zip(tokens, columns, strict=True):
            names = [name.replace(token, column) for name in names]
        return names, groups
    if width == len(columns):
        return list(columns), [(index,) for index in range(width)]
    every = tuple(range(width))
    stem = type(encoder).__name__.lower()
    return [f"{stem}_{index}" for index in every], [every for _ in columns]


def unique(names: Iterable[str], taken: Collection[str] = ()) -> list[str]:
    """Return names that neither repeat nor are taken; a later one gets a number.

    >>> unique(["a", "a", "b"], taken=["b"])
    ['a', 'a_2', 'b_2']
    """
    seen, result = set(taken), []
    for name in names:
        new, number = name, 1
        while new in seen:
            number += 1
            new = f"{name}_{number}"
        seen.add(new)
        result.append(new)
    return result


def _sklearn_names(encoder: Any, columns: list[str]) -> list[str]:
    """Return scikit-learn's own names; none where the encoder has none for these columns."""
    if not hasattr(encoder, "get_feature_names_out"):
        return []
    try:
        return [str(name) for name in encoder.get_feature_names_out(columns)]
    except (ValueError, TypeError):  # it was fitted without such columns: a vectorizer
        return []
