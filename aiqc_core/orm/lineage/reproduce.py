"""Train a Predictor again from what is stored, and compare the result.

The store is only read: samples are built in a temporary folder, the training runs in a new
interpreter, and nothing is recorded. If a stage before the training differs, nothing is trained.
"""

from __future__ import annotations

import json
import logging
import platform
import tempfile
import warnings
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from aiqc_core import counts
from aiqc_core.errors import AIQCError, TrainingError
from aiqc_core.orm.lineage import facts
from aiqc_core.orm.samples import cache as samples_cache
from aiqc_core.orm.samples.split_inputs import grouped_by, stratified_by
from aiqc_core.orm.training.spec import spec_over
from aiqc_core.stages.evaluate.checks import FAILED
from aiqc_core.stages.split.cut import OPTIONS, cut
from aiqc_core.stages.train import compare
from aiqc_core.stages.train import retrain as again
from aiqc_core.stages.train.compare import TOLERANCE
from aiqc_core.stages.train.functions import capture
from aiqc_core.stages.train.functions.source import is_text_of
from aiqc_core.storage import cache
from aiqc_core.workers.pool import WarmPool

if TYPE_CHECKING:
    from collections.abc import Generator

    from aiqc_core.orm.samples.cache import Fitted
    from aiqc_core.orm.tables.predictor import Predictor
    from aiqc_core.orm.tables.splitset import Fold, Splitset
    from aiqc_core.stages.train.compare import Comparison
    from aiqc_core.stages.train.retrain import Retrained
    from aiqc_core.stages.train.spec import JobSpec

logger = logging.getLogger(__name__)

BIT_EQUAL, WITHIN, DIFFERENT = "bit-equal", "equal within tolerance", "different"
EQUAL, NEAR, DIFFERS, SKIPPED = "equal", "near", "differs", "not reached"
STAGES = ("source", "split", "fit", "samples", "code", "seed", "weights", "predictions")
TRAIN = "aiqc_core.stages.train.retrain:train_again"
POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage, done again and compared with what is stored."""

    name: str  # one of `STAGES`
    verdict: str  # `'equal'`, `'near'` (within the tolerance), `'differs'` or `'not reached'`
    note: str  # what was compared, or what differs
    largest: float | None = None  # the largest difference of two numbers, where numbers differ


@dataclass(frozen=True, slots=True)
class Reproduction:
    """The result of training a Predictor again.

    Attributes:
        largest: the largest difference of two weights; None where they were not compared.
        moved_versions: `{library: [version then, version now]}` of those that changed.
    """

    predictor: int
    verdict: str  # `'bit-equal'`, `'equal within tolerance'` or `'different'`
    first_difference: str | None  # the first stage that differs; None where none does
    largest: float | None
    tolerance: float  # how far numbers may be apart, times their size (1 for smaller ones)
    stages: list[Stage]  # every stage, in the order in which data flows
    moved_versions: dict[str, list[str | None]]
    notes: list[str]  # what else may explain a difference
    seconds: float  # how long the training took

    @property
    def equal(self) -> bool:
        """Whether the same came out, within the tolerance."""
        return self.verdict != DIFFERENT


def reproduce(predictor: Predictor, tolerance: float = TOLERANCE) -> Reproduction:
    """Train again in a new process, from what is stored, and say whether the result is the same.

    Sources, split, preprocessing, samples, code and seed are checked first. The store is only
    read, and the samples are built in a temporary folder.

    Args:
        tolerance: how far numbers may be apart, times their size (1 for smaller ones).

    Returns:
        `verdict` (`'bit-equal'`, `'equal within tolerance'` or `'different'`), the `largest`
        difference of two weights, the `first_difference`, each stage, and moved versions.

    Raises:
        TrainingError: a tolerance out of range.
    """
    counts.real("tolerance", tolerance, lambda most: 0 <= most < 1, "a number from 0 to below 1")
    with tempfile.TemporaryDirectory(prefix="aiqc-reproduce-") as folder:
        job = predictor.job
        work = _Work(predictor, job.queue.splitset, job.fold, Path(folder), tolerance)
        work.run()
    return work.result()


@dataclass(slots=True)
class _Work:
    predictor: Predictor
    splitset: Splitset
    fold: Fold | None
    folder: Path
    tolerance: float
    stages: list[Stage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    again: Retrained | None = None
    fitted: Fitted | None = None

    def run(self) -> None:
        """Check the stages before the training, then train; stop where a stage cannot be built."""
        for check in (self.source, self.split, self.fit, self.samples, self.code, self.seed):
            check()
            if self.differs and self.stages[-1].name in {"source", "fit"}:
                return
        if not self.differs:
            self.train()

    @property
    def differs(self) -> bool:
        return any(stage.verdict == DIFFERS for stage in self.stages)

    def add(self, name: str, faults: list[str], note: str) -> None:
        """Add a stage that is equal unless there are faults."""
        verdict = DIFFERS if faults else EQUAL
        self.stages.append(Stage(name, verdict, "; ".join(faults) or note))

    def add_compared(self, name: str, found: Comparison, what: str) -> None:
        """Add a stage whose numbers were compared."""
        if found.bit_equal:
            self.stages.append(Stage(name, EQUAL, f"{what}: equal to the last bit"))
            return
        apart = "" if found.largest is None else f", apart by up to {found.largest:.3g}"
        note = f"{what}{apart}: {found.where} was {found.then}, is {found.now}"
        verdict = NEAR if found.near else DIFFERS
        self.stages.append(Stage(name, verdict, note, found.largest))

    def source(self) -> None:
        """Hash the contents of all Datasets again."""
        rows = [row for _, row in facts.datasets_of(self.splitset)]
        findings = facts.contents_now(rows)
        faults = [each.summary.rstrip(".") for each in findings if each.verdict == FAILED]
        names = sorted({row.id for row in rows})
        self.add("source", faults, f"Datasets {names}: content as it was registered")

    def split(self) -> None:
        """Cut again by the stored seed."""
        faults = list(_cut_apart(self.splitset))
        self.add("split", faults, "cut again by its seed: same positions")

    def fit(self) -> None:
        """Fit the preprocessing again, and build the samples in the temporary folder."""
        try:
            with warnings.catch_warnings(action="ignore"):
                self.fitted, arrays = samples_cache.prepared(self.splitset, self.fold, {})
                found = compare.compare(
                    self.predictor.fitted_preprocessing, self.fitted, tolerance=self.tolerance
                )
                cache.write(self.folder / "samples", arrays, {})
        except AIQCError as error:
            self.add("fit", [f"the samples cannot be built again: {error}"], "")
            return
        self.add_compared("fit", found, "encoders fitted again on the training rows")

    def samples(self) -> None:
        """Compare the samples with those that are cached."""
        kept = samples_cache.folder_of(self.splitset, self.fold)
        if not cache.is_whole(kept):
            self.add("samples", [], "built again; none are cached to compare them with")
            return
        built = self.folder / "samples"
        names = sorted(json.loads((built / cache.MANIFEST).read_text()))
        then, now = (
            {name: cache.load((side / name).parent, Path(name).stem) for name in names}
            for side in (kept, built)
        )
        found = compare.compare(then, now, tolerance=self.tolerance)
        remedy = "" if found.bit_equal else f" in {kept} (splitset.clear_cache() repairs that)"
        self.add_compared("samples", found, f"{len(names)} cached arrays{remedy}")

    def code(self) -> None:
        """Check the functions' signatures, and that they match their texts."""
        faults = list(_code_faults(self.predictor))
        self.add("code", faults, "functions signed, and as their texts say")

    def seed(self) -> None:
        """Derive the seed again."""
        predictor, job = self.predictor, self.predictor.job
        derived = job.seed(predictor.repeat_index)
        fault = (
            f"Predictor {predictor.id} holds {predictor.seed}; the seed {job.queue.seed} of Queue "
            f"{job.queue_id} gives {derived} for {job.key}, repeat {predictor.repeat_index}"
        )
        faults = [] if derived == predictor.seed else [fault]
        self.add("seed", faults, f"{predictor.seed}, as derived from the Queue's")

    def train(self) -> None:
        """Train in a new interpreter, and compare weights and predictions."""
        predictor = self.predictor
        if self.fitted is None:
            raise TrainingError("reproduce: the samples were not built.")
        spec = spec_over(
            predictor.job, predictor.repeat_index, self.folder / "samples", self.fitted
        )
        kinds = ("predictions", "probabilities")
        predictions = {kind: getattr(predictor.prediction, kind) for kind in kinds}
        stored = again.Stored(predictor.model_file, predictor.history, predictions)
        self.again = found = self.train_in_new_process(replace(spec, permute_count=0), stored)
        if found.weights is None or found.predictions is None:
            self.add("weights", [f"the training failed: {found.failure}"], "")
            return
        self.add_compared("weights", found.weights, "weights")
        self.add_compared("predictions", found.predictions, "predictions of every split")
        then, now = found.epochs
        if then != now:
            self.notes.append(
                f"The history has {then} epochs, that of now {now}: a pruner, which is not "
                "stored, may have stopped the first training."
            )
        places = [(each or {}).get("device") for each in (predictor.device, found.device)]
        if places[0] is not None and places[0] != places[1]:
            self.notes.append(f"It was trained on {places[0]}, now on {places[1]}.")

    def train_in_new_process(self, spec: JobSpec, stored: again.Stored) -> Retrained:
        """Train in an interpreter of its own."""
        elsewhere = {"KERAS_HOME": str(self.folder / "keras")}  # Keras writes its settings
        with WarmPool(1, threads=spec.threads, environment=elsewhere) as pool:
            recorded = (self.predictor.device or {}).get("device")
            on = "cpu" if recorded == "cpu" else "slot"  # a GPU would sum in another order
            pool.submit("reproduce", TRAIN, spec, stored, self.tolerance, on=on)
            while not (finished := pool.wait(POLL_SECONDS)):
                logger.debug("Predictor %d is being trained again.", self.predictor.id)
        (done,) = finished
        if done.error is not None:
            return again.Retrained(f"{done.error.kind}: {done.error.message}")
        return cast("Retrained", done.value)

    def result(self) -> Reproduction:
        """Return the verdict."""
        first = next((s.name for s in self.stages if s.verdict == DIFFERS), None)
        missed = STAGES[len(self.stages) :]
        skipped = [Stage(n, SKIPPED, "not done, as an earlier stage differs") for n in missed]
        exact = all(stage.verdict == EQUAL for stage in self.stages)
        weights = self.again and self.again.weights
        seconds = (self.again and self.again.seconds) or {}
        return Reproduction(
            predictor=self.predictor.id,
            verdict=DIFFERENT if first else BIT_EQUAL if exact else WITHIN,
            first_difference=first,
            largest=None if weights is None else weights.largest,
            tolerance=self.tolerance,
            stages=[*self.stages, *skipped],
            moved_versions=_moved_versions(self.predictor.versions),
            notes=self.notes,
            seconds=sum(seconds.values()),
        )


def _cut_apart(splitset: Splitset) -> Generator[str]:
    """Yield what differs when a Splitset is cut again."""
    features, label = splitset.features, splitset.label
    options: dict[str, Any] = {name: getattr(splitset, name) for name in (*OPTIONS, "seed")}
    by: str | None = options.pop("groups")
    column: str | None = options.pop("unsupervised_stratify_col")
    try:
        with warnings.catch_warnings(action="ignore"):
            made = cut(
                features[0].sample_count(),
                stratify_by=stratified_by(features, label, column),
                groups=None if by is None else grouped_by(features, label, by),
                **options | {"time_ordered": bool(options["time_ordered"])},
            )
    except AIQCError as error:
        yield f"Splitset {splitset.id} cannot be cut again: {error}"
        return
    pairs = [(f"Splitset {splitset.id}", splitset.positions(), made.splits)]
    pairs += [
        (f"fold {fold.idx}", fold.positions(), made.fold_splits(fold.idx))
        for fold in splitset.ordered_folds
    ]
    for called, stored, cut_again in pairs:
        for split in dict.fromkeys([*stored, *cut_again]):
            one, other = stored.get(split), cut_again.get(split)
            if one is None or other is None or one.tolist() != other.tolist():
                yield f"{split!r} of {called} holds other samples than its seed gives"


def _code_faults(predictor: Predictor) -> Generator[str]:
    """Yield which functions this store did not sign, or do not match their texts."""
    algorithm = predictor.job.queue.algorithm
    try:
        payloads = algorithm.payloads()
    except AIQCError as error:
        yield f"the functions of Algorithm {algorithm.id} cannot be used: {error}"
        return
    for role, payload in payloads.items():
        text = algorithm.sources.get(role)
        if payload is None or text is None:
            continue
        try:
            function = capture.restore(payload)
        except AIQCError as error:
            yield f"{role} of Algorithm {algorithm.id}: {error}"
            continue
        if not is_text_of(function, text):
            yield (
                f"{role} of Algorithm {algorithm.id} is another function than its stored text "
                "(algorithm.get_code()) says"
            )


def _moved_versions(then: dict[str, str]) -> dict[str, list[str | None]]:
    """Return `{library: [version then, version now]}` of those that changed."""
    moved: dict[str, list[str | None]] = {}
    for name, version in then.items():
        now: str | None = None
        with suppress(metadata.PackageNotFoundError):
            now = platform.python_version() if name == "python" else metadata.version(name)
        if now != version:
            moved[name] = [version, now]
    return moved
