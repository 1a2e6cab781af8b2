"""Check before training whether a label can be learned by an analysis type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiqc_core.analysis import AnalysisType
from aiqc_core.errors import AlgorithmError
from aiqc_core.stages.preprocess.encoders import analysis_fault

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    if label is None:
        if analysis_type != AnalysisType.REGRESSION:
            raise AlgorithmError(
                f"analysis_type: {analysis_type!r} needs a Label; a Splitset without one is "
                "learned from itself, by 'regression'."
            )
        return
    fault = (
        _regression_fault(label)
        if analysis_type == AnalysisType.REGRESSION
        else _classification_fault(analysis_type, label)
    )
    if fault is not None:
        message = f"analysis_type: {analysis_type!r} does not suit label {label.columns}: {fault}"
        raise AlgorithmError(message)


def _regression_fault(label: LabelFacts) -> str | None:
    text = [d for d in label.dtypes if not d.startswith(NUMBERS)]
    if text:
        return f"its dtype is {text[0]!r}. Use a classification, or a numeric label."
    if len(label.columns) > 1:
        return "several columns are a one-hot label. Use 'classification_multi'."
    return analysis_fault(label.encoder, AnalysisType.REGRESSION)


def _classification_fault(analysis_type: str, label: LabelFacts) -> str | None:
    if label.classes is None:
        dtype = label.dtypes[0]
        return f"its dtype is {dtype!r}. Use 'regression', or retype whole numbers to int."
    count = len(label.classes)
    if count < BINARY_CLASSES:
        return f"it has one class, {label.classes[0]!r}. A classification needs two."
    if analysis_type == AnalysisType.BINARY:
        if count != BINARY_CLASSES:
            return f"it has {count} classes. Use 'classification_multi'."
        if len(label.columns) > 1 or label.encoded_width > 1:
            return "it is one-hot. Use one column, or a LabelBinarizer, or 'classification_multi'."
    return _coding_fault(label, count)


def not_distinguished(classes: Sequence[object]) -> str:
    """Say that a coder's output does not distinguish these classes, and what to do."""
    return (
        f"does not tell the classes {_shown(classes)} apart: it gives neither each a code of its "
        f"own, 0…{len(classes) - 1} in one column, nor one-hot columns, one a class. Use "
        "OrdinalEncoder(), LabelBinarizer() or OneHotEncoder() without drop, min_frequency or "
        "max_categories, and with every class among its categories."
    )


def _coding_fault(label: LabelFacts, count: int) -> str | None:
    if not label.tells_apart:
        return f"its coder {label.encoder!r} {not_distinguished(label.classes or ())}"
    if label.encoder is not None or len(label.columns) > 1:
        return None
    if list(label.classes or ()) != list(range(count)):
        return (
            f"its classes {_shown(label.classes)} are not 0…{count - 1}. Attach a LabelCoder, "
            "such as LabelBinarizer() or OrdinalEncoder()."
        )
    return None


def _shown(classes: Sequence[object] | None, limit: int = 5) -> str:
    values = list(classes or ())
    more = f", … {len(values)} in all" if len(values) > limit else ""
    return ", ".join(repr(v) for v in values[:limit]) + more
