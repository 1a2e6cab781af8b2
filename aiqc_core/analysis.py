"""What a model learns of its label."""

from enum import StrEnum


class AnalysisType(StrEnum):
    """The values of `Algorithm.analysis_type`, as users write them and as they are stored."""

    BINARY = "classification_binary"
    MULTI = "classification_multi"
    REGRESSION = "regression"
