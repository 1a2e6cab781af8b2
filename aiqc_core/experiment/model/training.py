"""From samples to models: functions, hyperparameters, and how many side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from aiqc_core.experiment.model.base import Declared
from aiqc_core.stages.train.functions import capture
from aiqc_core.stages.train.search import grid as search
from aiqc_core.stages.train.search import space

if TYPE_CHECKING:
    from collections.abc import Iterator

Analysis = Literal["classification_binary", "classification_multi", "regression"]


class Training(Declared):
    """The functions that make a model, and the hyperparameters to try.

    Attributes:
        library: `'keras'` or `'pytorch'`.
        analysis_type: what is learned.
        fn_build: see `Algorithm.make`, as are the other functions.
        outputs: what a classifier gives, `'probabilities'` or `'logits'`; None leaves it to the
            model's last activation, see `Algorithm.make`.
        hyperparameters: `{name: [value, …]}`, or a range, see `train.space`.
        search: `'grid'`, `'random'` or `'tpe'`, see `train.search.plan`; None draws where a count
            is given.
        search_count: draw so many combinations instead of all.
        search_percent: draw this share of them.
        repeat_count: models a Job.
        permute_count: permutations of each column for its importance; 0 skips that.
        workers: processes that `Experiment.run` trains on side by side; None for this process
            alone. Dagster has its own setting, `AIQC_WORKERS`.
        time_limit: seconds after which a Job is stopped and counts as failed.
        checkpoint_seconds: between two checkpoints, from which a Job that was killed goes on; None
            writes none.
    """

    path: ClassVar[tuple[str, ...]] = ("training",)

    library: Literal["keras", "pytorch"]
    analysis_type: Analysis
    fn_build: Callable[..., Any]
    fn_train: Callable[..., Any]
    fn_predict: Callable[..., Any] | None = None
    fn_lose: Callable[..., Any] | None = None
    fn_optimize: Callable[..., Any] | None = None
    outputs: Literal["probabilities", "logits"] | None = None
    hyperparameters: dict[str, Any] = Field(default_factory=dict[str, Any])
    search: Literal["grid", "random", "tpe"] | None = None
    search_count: int | None = None
    search_percent: float | None = None
    repeat_count: Annotated[int, Field(ge=1)] = 1
    permute_count: Annotated[int, Field(ge=0)] = 3
    workers: Annotated[int, Field(ge=1)] | None = None
    time_limit: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] | None = None
    checkpoint_seconds: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] | None = None

    @field_validator("hyperparameters")
    @classmethod
    def _refuse_impossible_values(cls, value: dict[str, Any]) -> dict[str, Any]:
        found = space.parse(value)
        once = {name: list(found[name].values) for name in value if isinstance(value[name], list)}
        return value | once

    @field_validator(*capture.SIGNATURES)
    @classmethod
    def _refuse_other_arguments(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None:
            capture.refuse_no_function(str(info.field_name), value)
        return value

    def faults(self) -> Iterator[str]:
        """Yield what does not fit together; functions and search refuse by themselves."""
        capture.refuse_unfit(self.functions, self.hyperparameters)
        if self.hyperparameters:
            self.plan(seed=0)
        elif counted := [name for name, value in self.counts.items() if value is not None]:
            yield f"{counted[0]}: there are no hyperparameters to search; leave it out."
        if self.outputs is not None and self.analysis_type == "regression":
            yield f"outputs: {self.outputs!r} is for classifications; leave it out."

    @property
    def functions(self) -> dict[str, Any]:
        """The functions by their roles; None for one that is left out."""
        return {role: getattr(self, role) for role in capture.SIGNATURES}

    @property
    def counts(self) -> dict[str, Any]:
        """The arguments of the search beside the hyperparameters."""
        names = ("search", "search_count", "search_percent")
        return {name: getattr(self, name) for name in names}

    def plan(self, seed: int) -> search.Plan:
        """Return what the search will try."""
        return search.plan(self.hyperparameters, **self.counts, seed=seed)
