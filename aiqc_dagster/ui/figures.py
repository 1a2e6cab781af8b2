"""The figures beside each asset, as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiqc_core.analysis import AnalysisType
from aiqc_core.orm.results import data_figures
from aiqc_dagster.ui.images import as_markdown

if TYPE_CHECKING:
    from aiqc_core.orm import Predictor, Splitset

Pictures = dict[str, Any]


def of_splitset(row: Splitset) -> Pictures:
    """Show the sizes of splits and Folds, the layout of windows, and what was interpolated."""
    shown = {"split_sizes": as_markdown(data_figures.splits(row), "Split sizes")}
    if list(row.features[0].windows):
        layout = data_figures.window_layout(row.features[0])
        shown["window_layout"] = as_markdown(layout, "Window layout")
    filled = [name for fill in row.features[0].recipe().fills for name in fill.columns]
    if filled and row.features[0].dataset.typ == "tabular":
        drawn = data_figures.filled_column(row, filled[0])
        shown["interpolation"] = as_markdown(drawn, "Interpolation before and after")
    return shown


def of_curve(predictor: Predictor) -> Pictures:
    """Show the losses of a training, epoch by epoch; nothing where there is no history."""
    if not predictor.history:
        return {}
    curves: Any = predictor.plot_learning_curve(skip_head=False, call_display=False)
    return {"learning_curve": as_markdown(curves[0], "Learning curve")}


def of_champion(predictor: Predictor) -> Pictures:
    """Show all there is to see of a model."""
    prediction = predictor.prediction
    queue = predictor.job.queue
    shown = of_curve(predictor)
    if queue.algorithm.analysis_type == AnalysisType.REGRESSION:
        drawn = data_figures.predicted_and_true(prediction)
        shown["predicted_and_true"] = as_markdown(drawn, "Predicted and true values")
    else:
        position = list(prediction.metrics).index(queue.splitset.judged_on)
        matrices: Any = prediction.plot_confusion_matrix(call_display=False)
        shown["confusion_matrix"] = as_markdown(matrices[position], "Confusion matrix")
        if any(data["roc_curve"] for data in prediction.plot_data.values()):
            curve: Any = prediction.plot_roc_curve(call_display=False)
            shown["roc_curve"] = as_markdown(curve, "ROC curve")
    if prediction.feature_importance:
        bars: Any = prediction.plot_feature_importance(call_display=False)
        shown["feature_importance"] = as_markdown(bars[0], "Feature importance")
    return shown
