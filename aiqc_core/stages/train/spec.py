"""The specification and the outcome of a training, as values that cross processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from aiqc_core.stages.preprocess.pipeline import FittedLabel
    from aiqc_core.stages.preprocess.samples import Target

LASTING = ("exception", "bad_result", "exit")  # follow from the code and the data


@dataclass(frozen=True, slots=True)
class JobSpec:
    """All that one training needs, without a database.

    Attributes:
        job_id: the Job that is trained.
        repeat_index: which repeat of it.
        name: for logs.
        library: `'keras'` or `'pytorch'`.
        analysis_type: a value of `AnalysisType`.
        functions: `{role: payload of functions.capture}`, None where the default is used.
        seed: of every draw.
        samples: `{split: folder of the cache}`, the training split first.
        key_evaluation: the split that judges training, if any.
        label: what was fitted on the label, or on the feature that is its own target.
        column_groups: for each feature `{column: encoded positions}`; None skips its importance.
        permute_count: permutations of each column for its importance.
        sources: the text of the functions, so that tracebacks show their lines.
        threads: of the framework, fixed so that sums come out the same everywhere.
        checkpoint: the folder of this training's checkpoint; None keeps none.
        checkpoint_seconds: between two checkpoints; None writes none, but resumes from one.
        pruner: `functions.capture` of `pruner(history, rivals)`, which may stop a training early.
        rivals: histories of the trainings recorded already, for the pruner.
        outputs: `'probabilities'` or `'logits'` of a classifier, where the user states it.
    """

    job_id: int
    repeat_index: int
    name: str
    library: str
    analysis_type: str
    functions: dict[str, bytes | None]
    hyperparameters: dict[str, Any]
    seed: int
    samples: dict[str, str]
    key_train: str
    key_evaluation: str | None
    feature_count: int
    label: FittedLabel | Target
    column_groups: tuple[dict[str, tuple[int, ...]] | None, ...]
    permute_count: int
    threads: int = 1
    sources: dict[str, str | None] = field(default_factory=dict)
    checkpoint: str | None = None
    checkpoint_seconds: float | None = None
    pruner: bytes | None = None
    rivals: tuple[dict[str, list[float]], ...] = ()
    outputs: str | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a training failed.

    Attributes:
        kind: `'exception'`, `'out_of_memory'`, `'device_lost'`, `'exit'` or `'bad_result'`; where
            the worker process ended, `'died'` or `'time_limit'`.
        message: the reason, where in the user's code, and the hyperparameters.
        traceback: where it happened.
        error: what was raised, in the process that raised it; it may hold anything, so it goes to
            no other.
    """

    kind: str
    message: str
    traceback: str
    error: BaseException | None = field(default=None, compare=False, repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.kind, self.message, self.traceback))

    @property
    def lasts(self) -> bool:
        """Whether the same training would fail the same way again."""
        return self.kind in LASTING


@dataclass(slots=True)
class JobOutcome:
    """The results of one training; of a failed one only the failure and the times.

    Attributes:
        predictions: `{split: decoded predictions}`.
        probabilities: `{split: probabilities}`, None for a regression.
        metrics: `{split: {metric: value}}`.
        metric_notes: `{split: {metric: reason}}` where a value is NaN or by convention.
        feature_importance: `{feature index: {column: {median, loss_impacts}}}`.
        diverged: whether a loss or a prediction is not finite.
        pruned: whether the pruner stopped the training, at its last epoch or before it.
        stopped: what ended it before its last epoch: `'pruner'`, or `'callback'` of the user's.
        seconds: by phase (load, build, train, evaluate, permute, save), by a monotonic clock.
        device: what it trained on: `device` (`'cpu'`, `'cuda:0'`), `slot`, the device of its
            process, if any; with NVIDIA's driver `name`, `uuid`, `utilisation_percent` (mean) and
            `peak_memory_mb` of the device.
        time_succeeded: the start and the seconds since, so that it is never before the start.
        outputs: `kind` and `how` of `outputs.Meaning`.
    """

    job_id: int
    repeat_index: int
    time_started: datetime
    time_succeeded: datetime
    failure: Failure | None = None
    model: bytes | None = None
    features_shapes: Any = None
    label_shape: tuple[int, ...] | None = None
    history: dict[str, list[float]] = field(default_factory=dict)
    predictions: dict[str, NDArray[Any]] = field(default_factory=dict)
    probabilities: dict[str, NDArray[Any]] | None = None
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    metric_notes: dict[str, dict[str, str]] = field(default_factory=dict)
    metrics_aggregate: dict[str, dict[str, float]] = field(default_factory=dict)
    plot_data: dict[str, Any] = field(default_factory=dict)
    feature_importance: dict[int, dict[str, dict[str, Any]]] | None = None
    diverged: bool = False
    pruned: bool = False
    stopped: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    peak_memory_mb: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)
    device: dict[str, Any] | None = None
    outputs: dict[str, Any] | None = None
