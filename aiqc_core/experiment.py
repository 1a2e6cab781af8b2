"""The declaration of an experiment: what is learned from which data, and how."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from aiqc_core.errors import IngestError
from aiqc_core.evaluate.leading import leading_metric
from aiqc_core.ingest import tabular
from aiqc_core.train import search

NAME_PATTERN = r"^[a-z][a-z0-9_]{0,59}$"
Share = Annotated[float, Field(gt=0.0, lt=1.0)]


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


class Pipeline(_Declaration):
    """From a table to samples: label, features, their encoders, and the splits.

    Attributes:
        label: the column to predict, or the columns of a one-hot label.
        features: the columns to learn from; all but the label by default.
        label_encoder: an encoder with an inverse.
        feature_encoders: encoders, each on the columns that earlier ones left.
        size_test: share of the rows kept for the last judgement.
        size_validation: share of the rows kept to judge training.
        fold_count: number of cross-validation folds.
        bin_count: quantiles by which a continuous label is stratified.
    """

    label: str | list[str]
    features: list[str] | None = None
    label_encoder: Any = None
    feature_encoders: list[FeatureEncoder] = []
    size_test: Share | None = None
    size_validation: Share | None = None
    fold_count: Annotated[int, Field(ge=2)] | None = None
    bin_count: Annotated[int, Field(ge=2)] | None = None


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
        source: a function that returns a DataFrame, or the path of a csv, tsv or parquet file.
        pipeline: from the source to samples.
        training: from samples to models.
        metric: the metric of the leaderboard; accuracy or r2 by default.
        seed: from which every random draw of the experiment follows.
        owner: a team (`team:…`) or an e-mail address, shown beside the assets.
    """

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    description: str = ""
    source: Callable[[], pd.DataFrame] | Path
    pipeline: Pipeline
    training: Training
    metric: str | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    owner: str = "team:ml"

    @model_validator(mode="after")
    def _refuse_empty_grid(self) -> Experiment:
        self.combinations()
        return self

    @property
    def leading_metric(self) -> str:
        """The metric by which models are ranked; higher is better."""
        return self.metric or leading_metric(self.training.analysis_type)

    def load(self) -> pd.DataFrame:
        """Call the source function.

        Raises:
            IngestError: it gives no DataFrame.
        """
        frame: Any = self.source() if callable(self.source) else tabular.read_table(self.source)[0]
        if not isinstance(frame, pd.DataFrame):
            message = (
                f"source of {self.name!r}: gave {type(frame).__name__}; return a pandas DataFrame."
            )
            raise IngestError(message)
        return frame

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
