"""Run one training from its specification to its outcome, without a database or an exception."""

from __future__ import annotations

import logging
import platform
import time
import traceback
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core import frames
from aiqc_core.analysis import AnalysisType
from aiqc_core.config import timezone_now
from aiqc_core.devices import devices, faults, nvml
from aiqc_core.errors import TrainingError
from aiqc_core.seeds import derive
from aiqc_core.stages.evaluate import decode, metrics
from aiqc_core.stages.train import storing, trained_model
from aiqc_core.stages.train.backends import process_state
from aiqc_core.stages.train.backends.base import Backend, get_backend
from aiqc_core.stages.train.functions import capture
from aiqc_core.stages.train.history import plain_history
from aiqc_core.stages.train.hooks import checkpoint, memory, observer
from aiqc_core.stages.train.hooks.thread_guard import refuse_left_threads
from aiqc_core.stages.train.spec import Failure, JobOutcome, JobSpec
from aiqc_core.storage import cache

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

logger = logging.getLogger(__name__)


def run(spec: JobSpec) -> JobOutcome:
    """Train one model and score it on every split.

    Whatever user code does, `sys.exit` included, becomes a recorded failure; a
    `KeyboardInterrupt` passes.
    """
    started, clock = timezone_now(), time.perf_counter()
    outcome = JobOutcome(spec.job_id, spec.repeat_index, started, started)
    memory.reset_peak()
    device, cpu = devices.own(), devices.CPU.label
    with nvml.watched(device.uuid) as seen:
        try:
            backend = get_backend(spec.library)
            with backend.isolated(spec.threads):
                _attempt(spec, backend, outcome)
        except Exception as error:  # noqa: BLE001 - a library that is not installed, say
            outcome.failure = _failure(spec, error)
    kind = (outcome.device or {}).get("device", cpu)
    on_own = cpu not in {kind, device.label}
    # Frameworks number the devices that they see from 0; the label is that of the machine.
    outcome.device = {"device": device.label if on_own else kind}
    if device.label != cpu:
        outcome.device["slot"] = device.label
    if on_own and device.name:
        outcome.device |= {"name": device.name, "uuid": device.uuid}
    outcome.device |= seen
    # The wall clock may have been set back in between.
    outcome.time_succeeded = started + timedelta(seconds=time.perf_counter() - clock)
    outcome.peak_memory_mb = memory.peak_mb()
    return outcome


def _attempt(spec: JobSpec, backend: Backend, outcome: JobOutcome) -> None:
    training: _Training | None = None
    try:
        training = _Training(spec, backend, outcome)
        training.run()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - SystemExit of user code too
        kept = None  # the weights, where something after the training failed
        if training is not None and training.is_trained and spec.checkpoint is not None:
            kept = storing.keep(backend, training.model, spec.name)
        outcome.failure = _failure(spec, error, kept, backend.advice(error))
        outcome.model = None
        # Free what the frames of the failure hold, such as a model or a batch.
        training = None
        traceback.clear_frames(error.__traceback__)


def load_model(
    library: str, payloads: Mapping[str, bytes | None], model: bytes, features_shapes: Any,
    label_shape: tuple[int, ...], hyperparameters: Mapping[str, Any], *, seed: int = 0,
) -> Any:  # fmt: skip
    """Return a trained model on the CPU: Keras' compiled model, PyTorch's `(model, optimizer)`.

    `fn_build` is seeded as it was in training; the generators of the process stay as they were.
    """
    backend = get_backend(library)
    user = trained_model.restore_functions(payloads)
    with backend.drawing(seed):
        make = trained_model.makers(backend, user, features_shapes, label_shape, hyperparameters)
        return backend.load(model, *make)


class _Training:
    """The phases of one training, in order; each fills in its part of the outcome."""

    def __init__(self, spec: JobSpec, backend: Backend, outcome: JobOutcome) -> None:
        self.spec = spec
        self.backend = backend
        self.outcome = outcome
        self.before = process_state.ProcessState(backend.SETTINGS)
        self.user = trained_model.restore_functions(spec.functions, spec.sources)
        self.is_trained = False

    def run(self) -> None:
        """Run every phase, and measure it with a clock that never goes back."""
        phases = (self.load, self.build, self.train, self.evaluate, self.permute, self.save)
        for phase in phases:
            before = time.perf_counter()
            try:
                with observer.interrupts_raised():
                    phase()
            finally:
                self.outcome.seconds[phase.__name__] = time.perf_counter() - before

    def load(self) -> None:
        """Map the cached arrays, and refuse a label that cannot be decoded."""
        spec, kind = self.spec, self.spec.analysis_type
        names = [f"feature_{i}" for i in range(spec.feature_count)]
        self.arrays = {s: [cache.load(f, name) for name in names] for s, f in spec.samples.items()}
        self.labels = {s: cache.load(folder, "label") for s, folder in spec.samples.items()}
        class_count = len(getattr(spec.label, "classes", None) or ())
        if kind != AnalysisType.REGRESSION:
            for encoded in self.labels.values():
                decode.refuse_other_codes(encoded, class_count)
        shapes = [array.shape[1:] for array in self.arrays[spec.key_train]]
        self.features_shapes = shapes[0] if len(shapes) == 1 else shapes
        self.label_shape = self.labels[spec.key_train].shape[1:]
        if kind != AnalysisType.REGRESSION:  # of what the model must give for one sample
            self.label_shape = (1 if kind == AnalysisType.BINARY else class_count,)

    def build(self) -> None:
        spec, backend, given = self.spec, self.backend, self.spec.hyperparameters
        self.outcome.features_shapes = self.features_shapes
        self.outcome.label_shape = self.label_shape
        backend.seed(spec.seed)
        model = self.user["fn_build"](self.features_shapes, self.label_shape, **given)
        if not backend.is_model(model):
            raise TrainingError(f"fn_build: returned {type(model).__name__}; return the model.")
        self.model = backend.placed(
            backend.prepared(model, trained_model.shapes_of(self.features_shapes))
        )
        self.outcome.device = {"device": backend.device_kind(self.model)}
        width = self.labels[spec.key_train].shape[1]
        self.loser = backend.placed(trained_model.loser_of(
            backend, self.user["fn_lose"], spec.analysis_type, width, given, spec.outputs
        ))  # fmt: skip
        self.optimizer = backend.optimizer(self.user["fn_optimize"], self.model, given)
        self.sizes = backend.sizes(self.model)
        parts = self.model, self.optimizer, self.loser
        storing.rehearse(backend, spec, self.label_shape, parts, self.arrays[spec.key_train])

    def train(self) -> None:
        """Call the user's `fn_train` with observer and checkpoint, and check what it returns."""
        spec, backend, outcome = self.spec, self.backend, self.outcome
        pruner = None if spec.pruner is None else capture.restore(spec.pruner)
        watch = observer.Observer(spec.name, pruner, spec.rivals)
        folder, seconds = spec.checkpoint, spec.checkpoint_seconds
        kept = None if folder is None else checkpoint.Checkpoint(folder, seconds)
        before = storing.Sketch.of(backend.learning(self.model, self.optimizer))
        with refuse_left_threads(), observer.opened(watch), checkpoint.opened(kept):
            # So that its draws do not depend on those of fn_build.
            backend.seed(derive(spec.seed, "train"))
            returned = self.user["fn_train"](
                self.model, self.loser, self.optimizer, *self.samples(spec.key_train),
                *self.samples(spec.key_evaluation), **spec.hyperparameters,
            )  # fmt: skip
        if returned is None:
            raise TrainingError("fn_train: returned None; return the model, or (history, model).")
        returned, history = backend.model_and_history(returned)
        given, self.model = self.model, backend.unwrapped(returned, self.model)
        self.note("weights", storing.untrained(backend, before, given, self.model))
        self.is_trained = True
        outcome.history = plain_history(history)
        outcome.pruned = watch.pruned
        by_callback = observer.CALLBACK if backend.stopped_early(self.model) else None
        outcome.stopped = watch.stopped or by_callback

    def samples(self, split: str | None) -> tuple[Any, Any]:
        """Copy a split's features and encoded label to where the model is; None of no split."""
        if split is None:
            return None, None
        copies = self.backend.from_arrays([*self.arrays[split], self.labels[split]])
        *features, target = self.backend.beside(self.model, copies)
        return features[0] if len(features) == 1 else features, target

    def evaluate(self) -> None:
        spec, outcome = self.spec, self.outcome
        evaluator = self.evaluator = trained_model.Evaluator(
            self.backend, self.model, self.loser, self.user["fn_predict"], spec.analysis_type,
            spec.label, spec.outputs,
        )  # fmt: skip
        scored = {s: evaluator.score([self.arrays[s]], self.labels[s]) for s in spec.samples}
        probabilities: dict[str, NDArray[Any]] = {}
        for split, scores in scored.items():
            outcome.predictions[split], outcome.metrics[split] = scores.predictions, scores.values
            if scores.notes:
                outcome.metric_notes.setdefault(split, {}).update(scores.notes)
            if scores.probabilities is not None:
                probabilities[split] = scores.probabilities
            if scores.plot_data:
                outcome.plot_data[split] = scores.plot_data
        outcome.probabilities = probabilities or None
        outcome.metrics_aggregate = metrics.aggregate(outcome.metrics)
        losses = [*outcome.history.get("loss", []), *outcome.history.get("val_loss", [])]
        losses += [values["loss"] for values in outcome.metrics.values()]
        arrays = (probabilities or outcome.predictions).values()
        numbers = [losses, *(values for values in arrays if values.dtype.kind == "f")]
        outcome.diverged = not all(np.isfinite(each).all() for each in numbers)
        if evaluator.meaning is not None and evaluator.meaning.kind is not None:
            outcome.outputs = {"kind": evaluator.meaning.kind, "how": evaluator.meaning.how}
            self.note("outputs", evaluator.meaning.note)  # of a guess

    def note(self, name: str, text: str | None, level: int = logging.WARNING) -> None:
        """Record what the user should know of the model, beside the metrics of what trained it."""
        if text is not None:
            self.outcome.metric_notes.setdefault(self.spec.key_train, {})[name] = text
            logger.log(level, "%s: %s", self.spec.name, text)

    def permute(self) -> None:
        spec, split = self.spec, self.spec.key_train
        if spec.permute_count:
            self.outcome.feature_importance = self.evaluator.importance(
                self.arrays[split], self.labels[split], spec, spec.permute_count
            )

    def save(self) -> None:
        """Store the model, and make sure that it can be loaded again."""
        outcome = self.outcome
        outcome.model = storing.stored(
            self.backend, (self.model, self.optimizer), self.sizes, self.verify
        )
        outcome.versions = {"python": platform.python_version(), "numpy": np.__version__}
        outcome.versions |= self.backend.versions()

    def verify(self, data: bytes) -> None:
        """Load a stored model as it will be for predictions, and compare on a few rows."""
        spec, outcome, split = self.spec, self.outcome, self.spec.key_train
        outside, shape = self.before.changed(), self.label_shape
        scored = outcome.predictions[split], (outcome.probabilities or {}).get(split)
        stored = trained_model.StoredModel.of(
            spec, data, outcome.features_shapes, shape, outcome.outputs
        )
        with process_state.kept(self.backend.SETTINGS, during=self.before):
            loaded = stored.load()
            loaded.model = self.backend.placed(loaded.model)
            note = storing.refuse_other(
                self.backend, self.evaluator, loaded, self.arrays[split], scored, shape, outside
            )
            self.note("predictions", note, logging.INFO)


def _failure(
    spec: JobSpec, error: BaseException, kept: object = None, hint: str | None = None
) -> Failure:
    if isinstance(error, SystemExit):
        kind, reason = "exit", f"user code called sys.exit({error.code})"
    elif lost := faults.loss(error):
        faults.note_lost(lost)
        kind, reason = "device_lost", lost
    elif memory.ran_out(error):
        faults.note_spoilt()
        kind, reason = "out_of_memory", f"out of memory: {error}"
    elif isinstance(error, TrainingError):
        kind, reason = "bad_result", frames.message_of(error) or "TrainingError"
    else:
        kind, reason = "exception", frames.summary(error)
    if faults.is_spoilt(error):
        faults.note_spoilt()
    where = frames.place(error)
    if where and where not in reason:  # an encoder's function is named by the encoder
        reason = f"{reason.rstrip('.')}{where}"
    if hint is not None and kind == "exception":
        reason = f"{reason.rstrip('.')}. {hint.rstrip('.')}."
    if kept is not None:
        reason = f"{reason.rstrip('.')}. What was trained is kept in {kept}, as weights."
    chosen = ", ".join(f"{name}={value!r}" for name, value in spec.hyperparameters.items())
    message = f"{reason} (hyperparameters: {chosen or 'none'})"
    logger.warning("%s failed: %s", spec.name, message)
    return Failure(kind, message, "".join(traceback.format_exception(error)), error)
