"""One question to one source of data."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, field_validator

from aiqc_core import frames, job_keys
from aiqc_core.errors import AIQCError, AlgorithmError, IngestError
from aiqc_core.experiment import workflow
from aiqc_core.experiment.model.automation import Cron, Freshness, Promotion, Timezone
from aiqc_core.experiment.model.base import Declared, shown
from aiqc_core.experiment.model.pipeline import Pipeline
from aiqc_core.experiment.model.training import Training
from aiqc_core.stages.evaluate.ranking import checked_metric, leading_metric, lower_is_better
from aiqc_core.stages.ingest.content import NDIM
from aiqc_core.stages.ingest.tabular import read_table
from aiqc_core.stages.preprocess.encoders import analysis_fault
from aiqc_core.stages.train.search.grid import combination_key

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME_PATTERN = r"^[a-z][a-z0-9_]{0,59}$"
RESERVED = ("notebook",)


@dataclass(frozen=True, slots=True)
class Labelled:
    """Values with labels in a table of their own.

    Attributes:
        values: a DataFrame, or an array of a sequence (3D) or of images (4D).
        labels: as many rows; None where the values hold the label, or there is none.
    """

    values: Any
    labels: pd.DataFrame | None = None


def _as_function(value: Any) -> Any:
    """Return a source as a function or a path; values become a function that returns them."""
    values = value  # of a type that is not narrowed
    if isinstance(value, pd.DataFrame | np.ndarray | Labelled):
        return lambda: values
    if not (callable(value) or isinstance(value, str | Path)):
        message = (
            f"{shown(value)}; give a function that returns the data (lambda: frame), a DataFrame, "
            "an array, or the path of a csv, tsv or parquet file."
        )
        raise ValueError(message)  # noqa: TRY004 - pydantic passes a TypeError on
    if not callable(value):
        return os.path.expanduser(value)  # noqa: PTH111 - keeps `~x.csv`
    try:
        inspect.signature(value).bind()
    except TypeError:
        message = f"takes {inspect.signature(value)}; it is called without arguments."
        raise ValueError(message) from None
    except ValueError:  # compiled code does not say what it takes
        pass
    return value


class Experiment(Declared):
    """One question to one source of data, as a value: nothing is read or written by making it.

    Attributes:
        name: lower-case letters, digits and underscores; it names assets and jobs.
        description: what is asked, for people.
        source: a function that returns a DataFrame, an array of a sequence (3D) or of images (4D),
            or `Labelled`; or these themselves; or the path of a csv, tsv or parquet file.
        pipeline: from the source to samples.
        training: from samples to models.
        metric: what ranks the models wherever no other metric is named: in search, pruning,
            leaderboard, comparison, figures and promotion. Accuracy or r2 by default. Another one
            ranks the same models otherwise, and trains none again.
        seed: from which every random draw of the experiment follows.
        owner: a team (`team:…`) or an e-mail address, shown beside the assets.
        schedule: when to look for new content, in cron's format; None for no schedule.
        timezone: of the schedule.
        freshness: how old the newest snapshot may become before a check turns red: a timedelta,
            or a number of hours; None does not ask.
        promotion: when a new best model takes the champion's place.
    """

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    description: str = ""
    source: Annotated[
        Callable[[], pd.DataFrame | NDArray[Any] | Labelled] | Path, BeforeValidator(_as_function)
    ]
    pipeline: Pipeline
    training: Training
    metric: str | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    owner: Annotated[str, Field(pattern=r"^(team:\S+|\S+@\S+\.\S+)$")] = "team:ml"
    schedule: Cron | None = None
    timezone: Timezone = "UTC"
    freshness: Freshness | None = None
    promotion: Promotion = Promotion()

    @field_validator("name")
    @classmethod
    def _refuse_reserved_names(cls, value: str) -> str:
        if value in RESERVED:
            message = f"{value!r} names assets that are there already; choose another name."
            raise ValueError(message)
        return value

    def faults(self) -> Iterator[str]:
        """Yield what no data can make right between pipeline, training and metrics."""
        pipeline, analysis = self.pipeline, self.training.analysis_type
        has_units = pipeline.encodes_target
        for name, value in (("metric", self.metric), ("promotion.metric", self.promotion.metric)):
            if value is not None:
                checked_metric(value, analysis, has_units=has_units, argument=name)
        if not pipeline.label_columns and analysis != "regression":
            yield (
                f"training.analysis_type: {analysis!r} without a label; name its column in "
                "pipeline.label, or use 'regression' to learn the features."
            )
        if fault := analysis_fault(pipeline.label_encoder, analysis):
            yield f"pipeline.label_encoder: {fault}"
        if pipeline.positive is None:
            return
        positive = f"pipeline.positive: {pipeline.positive!r}"
        if analysis != "classification_binary":
            yield (
                f"{positive}; a {analysis} has no positive class. Leave it out, or use "
                "classification_binary."
            )
        if len(pipeline.label_columns) != 1:
            yield (
                f"{positive}; the label is {pipeline.label!r}. Only one column of two classes has "
                "a positive one."
            )

    @property
    def leading_metric(self) -> str:
        """The metric by which models are ranked."""
        return self.metric or leading_metric(self.training.analysis_type)

    @property
    def lower_is_better(self) -> bool:
        """Whether the best model has the least of the leading metric, as of a loss."""
        return lower_is_better(self.leading_metric)

    run = workflow.run

    def load(self) -> Labelled:
        """Call the source function, or read the source's file.

        Returns:
            The values, and a table of their labels where that is apart.

        Raises:
            IngestError: it gives something else.
        """
        source: Any = self.source
        try:
            found: Any = source() if callable(source) else read_table(source)[0]
        except AIQCError:
            raise
        except Exception as error:
            if not callable(source):
                raise
            message = f"source of {self.name!r}: raised {frames.summary_with_place(error)}"
            raise IngestError(message) from error
        whole = found if isinstance(found, Labelled) else Labelled(found)
        values = whole.values
        is_stack = isinstance(values, np.ndarray) and values.ndim in NDIM.values()
        if isinstance(values, pd.DataFrame) or is_stack:
            return whole
        raise IngestError(
            f"source of {self.name!r}: gave {type(whole.values).__name__}; return a pandas "
            "DataFrame, an array of 3 or 4 axes, or Labelled(array, labels)."
        )

    def combinations(self) -> list[dict[str, Any]]:
        """Return what will be tried, in order; raise AlgorithmError if results suggest that."""
        if not self.training.hyperparameters:
            return []
        plan = self.training.plan(self.seed)
        if plan.combinations is None:
            message = (
                f"search: {plan.search!r} of {self.name!r} suggests combinations as results come, "
                "so none is known before."
            )
            raise AlgorithmError(message)
        return plan.combinations

    @property
    def is_adaptive(self) -> bool:
        """Whether results suggest the combinations, so that none is known before."""
        training = self.training
        return bool(training.hyperparameters) and training.plan(self.seed).combinations is None

    def combo_keys(self) -> list[str]:
        """Return the key of each combination: a short hash of its content.

        An adaptive search has the number of each suggestion instead: `t000`, `t001`…
        """
        if self.is_adaptive:
            return [f"t{number:03d}" for number in range(self.training.plan(self.seed).count)]
        return [combination_key(c) for c in self.combinations()] or [job_keys.NO_COMBINATION]

    def fold_keys(self) -> list[str]:
        """Return the key of each fold, `nofold` where there are none."""
        count = self.pipeline.fold_count
        return [job_keys.fold_key(i) for i in range(count)] if count else [job_keys.NO_FOLD]

    def job_keys(self) -> list[str]:
        """Return the key of each Job: its Fold's and its combination's."""
        return [
            job_keys.job_key(fold, combo)
            for combo in self.combo_keys()
            for fold in self.fold_keys()
        ]
