"""The known metrics, the default one for ranking, and which way is better."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from aiqc_core.analysis import AnalysisType
from aiqc_core.errors import AlgorithmError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

OF_POSITIVE = frozenset({"f1", "precision", "recall"})
CLASSIFICATION = {
    "accuracy": "Accuracy",
    "f1": "F1",
    "loss": "Loss",
    "precision": "Precision",
    "recall": "Recall",
    "roc_auc": "ROC AUC",
}
REGRESSION = {
    "explained_variance": "Explained variance",
    "loss": "Loss",
    "mae": "Mean absolute error",
    "mse": "Mean squared error",
    "r2": "R²",
    "rmse": "Root mean squared error",
}
DECODED = "_decoded"  # a regression's metric in the label's own units, beside those of its encoder

# Names of frameworks in a history: Keras `val_auc`, torchmetrics `val_BinaryAUROC`.
ALIASES = {
    "acc": "accuracy",
    "auc": "roc_auc",
    "auroc": "roc_auc",
    "f1score": "f1",
    "meanabsoluteerror": "mae",
    "meansquarederror": "mse",
    "r2score": "r2",
    "rootmeansquarederror": "rmse",
} | {name.replace("_", ""): name for name in CLASSIFICATION | REGRESSION}
OF_CLASSES = re.compile("^(binary|multiclass|multilabel|sparsecategorical|categorical|sparsetopk)")
COUNTS_ERRORS = re.compile(
    "(error|loss|entropy|divergence|deviance|distance|hinge|poisson|perplexity|mae|mse|rmse)$"
)


def metrics_of(analysis_type: str) -> dict[str, str]:
    """Return the metrics of an analysis, each with the name that people read."""
    return REGRESSION if analysis_type == AnalysisType.REGRESSION else CLASSIFICATION


def leading_metric(analysis_type: str) -> str:
    """Return `'r2'` for regressions and `'accuracy'` for classifications; higher is better."""
    return "r2" if analysis_type == AnalysisType.REGRESSION else "accuracy"


def metric_name(metric: str, positive: Any) -> str:
    """Return the name of a metric, with the positive class where it is of that alone.

    >>> metric_name("recall", "fraud"), metric_name("accuracy", "fraud")
    ("recall of 'fraud'", 'accuracy')
    """
    return metric if positive is None or metric not in OF_POSITIVE else f"{metric} of {positive!r}"


def checked_metric(
    given: object, analysis_type: str, *, has_units: bool = False, argument: str = "metric"
) -> str:
    """Return a metric by which models of an analysis can be ranked.

    With `has_units`, an encoder changes the label of a regression, and each metric but the loss
    exists in its own units too, as `r2_decoded`.

    Raises:
        AlgorithmError: no such metric; the message calls it `argument` and lists those there are.
    """
    allowed = list(metrics_of(analysis_type))
    if has_units and analysis_type == AnalysisType.REGRESSION:
        allowed += [f"{name}{DECODED}" for name in allowed if name != "loss"]
    if isinstance(given, str) and given in allowed:
        return given
    raise AlgorithmError(
        f"{argument}: {given!r} is no metric of a {analysis_type}; choose among "
        f"{', '.join(allowed)}.{hint(str(given).lower(), allowed)}"
    )


def hint(given: object, allowed: Sequence[str]) -> str:
    """Return the end of a message: the likeliest of what is allowed, if any is like it."""
    close = get_close_matches(str(given), allowed, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def lower_is_better(metric: str) -> bool:
    """Say whether a metric counts errors; `metric` may be a framework's column of a history.

    >>> lower_is_better("mse_decoded"), lower_is_better("r2"), lower_is_better("MeanAbsoluteError")
    (True, False, True)
    """
    plain = _plain(metric.removesuffix(DECODED))
    return COUNTS_ERRORS.search(plain) is not None


def column_of(metric: str, history: Iterable[str]) -> str | None:
    """Return the column of a history that holds a metric, on evaluation samples if there are any.

    >>> column_of("roc_auc", ["loss", "BinaryAUROC", "val_loss", "val_BinaryAUROC"])
    'val_BinaryAUROC'
    """
    columns = list(history)
    evaluated = [name for name in columns if name.startswith("val_")]
    wanted = metric.removesuffix(DECODED)
    return next((name for name in evaluated or columns if _known(name) == wanted), None)


def _known(column: str) -> str | None:
    """Return the metric in a column of a history; None for one of the user's own."""
    plain = _plain(column)
    return ALIASES.get(plain) or ALIASES.get(OF_CLASSES.sub("", plain))


def _plain(column: str) -> str:
    """Return a column's name without case, `val_`, and the number that Keras adds to a second."""
    name = re.sub(r"_\d+$", "", column.removeprefix("val_"))
    return name.replace("_", "").lower()
