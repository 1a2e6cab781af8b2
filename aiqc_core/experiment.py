"""The declaration of an experiment: what is learned from which data, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from aiqc_core.errors import IngestError
from aiqc_core.evaluate.leading import leading_metric
from aiqc_core.ingest.content import NDIM
from aiqc_core.ingest.tabular import read_table
from aiqc_core.train import search

NAME_PATTERN = r"^[a-z][a-z0-9_]{0,59}$"
Share = Annotated[float, Field(gt=0.0, lt=1.0)]


@dataclass(frozen=True, slots=True)
class Labelled:
    """Values whose labels come in a table of their own.

    Attributes:
        values: a DataFrame, or an array of a sequence (3D) or of images (4D).
        labels: as many rows; None where the values hold the label, or there is none.
    """

    values: Any
    labels: pd.DataFrame | None = None


class _Declaration(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class FeatureEncoder(_Declaration):
    """One scikit-learn encoder and the columns that its filter matches.

    Attributes:
        encoder: an instance of a class of `sklearn.preprocessing`.
        include: whether the filter names the columns to encode, or those to leave out.
        dtypes: dtypes of the filter.
        columns: columns of the filter. Without any filter: all columns.
    """

    encoder: Any
    include: bool = True
    dtypes: list[str] | None = None
    columns: list[str] | None = None


class Interpolation(_Declaration):
    """One interpolater and the floating columns that its filter matches.

    Attributes:
        interpolate_kwargs: see `FeatureInterpolater.from_feature`, as are the others.
        process_separately: whether rows that do not train stay unseen by those that do.
        dtypes: dtypes of the filter.
        columns: columns of the filter. Without any filter: all floating columns.
    """

    interpolate_kwargs: dict[str, Any] | None = None
    process_separately: bool = True
    dtypes: list[str] | None = None
    columns: list[str] | None = None


class Windowing(_Declaration):
    """Sliding windows over the rows, see `Window.from_feature`.

    Attributes:
        size_window: rows of a window.
        size_shift: rows to the next window, and to a window's target.
    """

    size_window: Annotated[int, Field(ge=1)]
    size_shift: Annotated[int, Field(ge=1)]


class Pipeline(_Declaration):
    """From a source to samples: label, features, their preprocessing, and the splits.

    Attributes:
        label: the column to predict, or the columns of a one-hot label; None learns the features
            themselves: their future where there is a window.
        features: the columns to learn from; all but the label by default.
        label_interpolation: how blanks of the label are filled.
        label_encoder: an encoder with an inverse.
        interpolations: how blanks of the features are filled, each on columns that are left.
        feature_encoders: encoders, each on the columns that earlier ones left.
        window: sliding windows, which become the samples.
        reshape_indices: the shape that a model gets, see `FeatureShaper.from_feature`.
        size_test: share of the samples kept for the last judgement.
        size_validation: share of the samples kept to judge training.
        fold_count: number of cross-validation folds.
        bin_count: quantiles by which a continuous label is stratified.
        unsupervised_stratify_col: without a label, a column to stratify by.
        groups: a column of which no value is in two splits.
        time_ordered: cut by position, train first.
        gap: samples left out between parts of a cut in order.
    """

    label: str | list[str] | None = None
    features: list[str] | None = None
    label_interpolation: Interpolation | None = None
    label_encoder: Any = None
    interpolations: list[Interpolation] = []
    feature_encoders: list[FeatureEncoder] = []
    window: Windowing | None = None
    reshape_indices: list[int | str | list[int]] | None = None
    size_test: Share | None = None
    size_validation: Share | None = None
    fold_count: Annotated[int, Field(ge=2)] | None = None
    bin_count: Annotated[int, Field(ge=2)] | None = None
    unsupervised_stratify_col: str | None = None
    groups: str | None = None
    time_ordered: bool = False
    gap: Annotated[int, Field(ge=0)] = 0

    @property
    def label_columns(self) -> list[str]:
        """The label's columns; empty without a label."""
        if self.label is None:
            return []
        return [self.label] if isinstance(self.label, str) else self.label


class Training(_Declaration):
    """The functions that make a model, and the hyperparameters to try.

    Attributes:
        library: `'keras'` or `'pytorch'`.
        analysis_type: what is learned.
        fn_build: see `Algorithm.make`, as are the other functions.
        hyperparameters: `{name: [value, …]}`.
        search_count: draw so many combinations instead of all.
        search_percent: draw this share of them.
        repeat_count: models a Job.
        permute_count: permutations of each column for its importance; 0 skips that.
    """

    library: Literal["keras", "pytorch"]
    analysis_type: Literal["classification_binary", "classification_multi", "regression"]
    fn_build: Callable[..., Any]
    fn_train: Callable[..., Any]
    fn_predict: Callable[..., Any] | None = None
    fn_lose: Callable[..., Any] | None = None
    fn_optimize: Callable[..., Any] | None = None
    hyperparameters: dict[str, list[Any]] = {}
    search_count: int | None = None
    search_percent: float | None = None
    repeat_count: Annotated[int, Field(ge=1)] = 1
    permute_count: Annotated[int, Field(ge=0)] = 3


class Experiment(_Declaration):
    """One question to one source of data, as a value: nothing is read or written by making it.

    Attributes:
        name: lower-case letters, digits and underscores; it names assets and jobs.
        description: what is asked, for people.
        source: a function that returns a DataFrame, an array of a sequence (3D) or of images (4D),
            or `Labelled`; or the path of a csv, tsv or parquet file.
        pipeline: from the source to samples.
        training: from samples to models.
        metric: the metric of the leaderboard; accuracy or r2 by default.
        seed: from which every random draw of the experiment follows.
        owner: a team (`team:…`) or an e-mail address, shown beside the assets.
        schedule: when to look for new content, as cron tells it; None for no schedule.
        timezone: in which the schedule is told.
    """

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    description: str = ""
    source: Callable[[], pd.DataFrame | NDArray[Any] | Labelled] | Path
    pipeline: Pipeline
    training: Training
    metric: str | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    owner: str = "team:ml"
    schedule: str | None = None
    timezone: str = "UTC"

    @model_validator(mode="after")
    def _refuse_empty_grid(self) -> Experiment:
        self.combinations()
        return self

    @property
    def leading_metric(self) -> str:
        """The metric by which models are ranked; higher is better."""
        return self.metric or leading_metric(self.training.analysis_type)

    def load(self) -> Labelled:
        """Call the source function.

        Returns:
            The values, and a table of their labels where that is apart.

        Raises:
            IngestError: it gives something else.
        """
        found: Any = self.source() if callable(self.source) else read_table(self.source)[0]
        whole = found if isinstance(found, Labelled) else Labelled(found)
        if isinstance(whole.values, pd.DataFrame) or _is_stack(whole.values):
            return whole
        raise IngestError(
            f"source of {self.name!r}: gave {type(whole.values).__name__}; return a pandas "
            "DataFrame, an array of 3 or 4 axes, or Labelled(array, labels)."
        )

    def combinations(self) -> list[dict[str, Any]]:
        """Return the combinations of hyperparameters that will be tried, in their order."""
        if not self.training.hyperparameters:
            return []
        return search.sample(
            search.grid(self.training.hyperparameters),
            search_count=self.training.search_count,
            search_percent=self.training.search_percent,
            seed=self.seed,
        )

    def combo_keys(self) -> list[str]:
        """Return the key of each combination: a short hash of its content."""
        return [search.combination_key(c) for c in self.combinations()] or ["default"]

    def fold_keys(self) -> list[str]:
        """Return the key of each fold, `nofold` where there are none."""
        count = self.pipeline.fold_count
        return [f"f{i}" for i in range(count)] if count else ["nofold"]

    def job_keys(self) -> list[str]:
        """Return the key of each Job, as `Job.key` gives it."""
        return [f"{fold}_{combo}" for combo in self.combo_keys() for fold in self.fold_keys()]


def _is_stack(values: object) -> bool:
    return isinstance(values, np.ndarray) and values.ndim in NDIM.values()
