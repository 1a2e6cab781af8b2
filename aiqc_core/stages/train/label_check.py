"""Check before training whether a label can be learned by an analysis type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiqc_core.analysis import AnalysisType
from aiqc_core.errors import AlgorithmError
from aiqc_core.stages.preprocess.encoders import analysis_fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BINARY_CLASSES = 2
NUMBERS = ("int", "uint", "float", "bool", "Int", "UInt", "Float")


@dataclass(frozen=True, slots=True)
class LabelFacts:
    """What is known of a label without training on it.

    Attributes:
        columns: its columns; several are one-hot.
        dtypes: the dtype of each.
        classes: the classes, by their codes where these are distinct; None for a continuous label.
        encoder: its coder, None without one.
        encoded_width: how many columns its coder makes.
        tells_apart: whether its coder gives each class a code of its own, from 0 or one-hot.
    """

    columns: tuple[str, ...]
    dtypes: tuple[str, ...]
    classes: Sequence[object] | None
    encoder: object | None
    encoded_width: int
    tells_apart: bool = True


def refuse_mismatch(analysis_type: str, label: LabelFacts | None) -> None:
    """Raise AlgorithmError for a label (None: unsupervised) that cannot be learned so."""
    is_regression = analysis_type == AnalysisType.REGRESSION
    if label is None and not is_regression:
        raise AlgorithmError(
            f"analysis_type: {analysis_type!r} needs a Label; a Splitset without one is learned "
            "from itself, by 'regression'."
        )
    if label is None:
        return
    is_binary = analysis_type == AnalysisType.BINARY
    faults = _faults_of_regression(label) if is_regression else _faults(label, is_binary=is_binary)
    for fault in faults:
        message = f"analysis_type: {analysis_type!r} does not suit label {label.columns}: {fault}"
        raise AlgorithmError(message)


def _faults_of_regression(label: LabelFacts) -> Iterator[str]:
    if text := [d for d in label.dtypes if not d.startswith(NUMBERS)]:
        yield f"its dtype is {text[0]!r}. Use a classification, or a numeric label."
    if len(label.columns) > 1:
        yield "several columns are a one-hot label. Use 'classification_multi'."
    if fault := analysis_fault(label.encoder, AnalysisType.REGRESSION):
        yield fault


def _faults(label: LabelFacts, *, is_binary: bool) -> Iterator[str]:
    """Yield what is wrong for a classification; each relies on those before it."""
    classes, is_wide = list(label.classes or ()), len(label.columns) > 1
    count = len(classes)
    if label.classes is None:
        dtype = label.dtypes[0]
        yield f"its dtype is {dtype!r}. Use 'regression', or retype whole numbers to int."
    if count < BINARY_CLASSES:
        yield f"it has one class, {classes[0]!r}. A classification needs two."
    if is_binary and count != BINARY_CLASSES:
        yield f"it has {count} classes. Use 'classification_multi'."
    if is_binary and (is_wide or label.encoded_width > 1):
        yield "it is one-hot. Use one column, or a LabelBinarizer, or 'classification_multi'."
    if not label.tells_apart:
        yield f"its coder {label.encoder!r} {not_distinguished(classes)}"
    if label.encoder is None and not is_wide and classes != list(range(count)):
        yield (
            f"its classes {_shown(classes)} are not 0…{count - 1}. Attach a LabelCoder, such as "
            "LabelBinarizer() or OrdinalEncoder()."
        )


def not_distinguished(classes: Sequence[object]) -> str:
    """Say that a coder's output does not distinguish these classes, and what to do."""
    return (
        f"does not tell the classes {_shown(classes)} apart: it gives neither each a code of its "
        f"own, 0…{len(classes) - 1} in one column, nor one-hot columns, one a class. Use "
        "OrdinalEncoder(), LabelBinarizer() or OneHotEncoder() without drop, min_frequency or "
        "max_categories, and with every class among its categories."
    )


def _shown(classes: Sequence[object], limit: int = 5) -> str:
    more = f", … {len(classes)} in all" if len(classes) > limit else ""
    return ", ".join(map(repr, list(classes)[:limit])) + more
