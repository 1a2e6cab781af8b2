"""The metrics by name, as `Queue.plot_performance` and `Queue.metrics_df` take them."""

from aiqc_core.stages.evaluate.ranking import CLASSIFICATION, REGRESSION

metrics_classify = dict(CLASSIFICATION)
metrics_regress = dict(REGRESSION)

__all__ = ["metrics_classify", "metrics_regress"]
