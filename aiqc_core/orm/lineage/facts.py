"""Where a Predictor comes from: its sources, its code and what trained it, read from the rows.

Everything here reads; nothing is written, and no framework is imported.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiqc_core.errors import IngestError, MetastoreError
from aiqc_core.orm.tables.algorithm import NO_SOURCE
from aiqc_core.orm.tables.snapshot import Snapshot
from aiqc_core.orm.training.measure import Measure
from aiqc_core.stages.ingest import content

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiqc_core.orm.tables.algorithm import Algorithm
    from aiqc_core.orm.tables.dataset import Dataset
    from aiqc_core.orm.tables.predictor import Predictor
    from aiqc_core.orm.tables.splitset import Splitset


@dataclass(frozen=True, slots=True)
class Source:
    """One Dataset that a Predictor follows from.

    Attributes:
        used_as: `'feature 0'`, `'feature 1'`… and `'label'`.
        dataset: its id.
        name: its name, if any.
        version: of that name.
        typ: `'tabular'`, `'sequence'` or `'image'`.
        shape: `{axis: length}`.
        place: the file or folder it was read from; None for what was in memory.
        urls: how many urls it was read from.
        ingested: whether the store holds its values.
        sha256: of its content (names, dtypes, values).
        matches: whether what lies at `place` still has this content; None where that was not
            looked at, or there is no place.
        note: why it does not match, or was not looked at.
    """

    used_as: tuple[str, ...]
    dataset: int
    name: str | None
    version: int | None
    typ: str
    shape: dict[str, int]
    place: str | None
    urls: int
    ingested: bool
    sha256: str
    matches: bool | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Code:
    """One function of an Algorithm.

    Attributes:
        role: `'fn_build'`…
        sha256: of the function as it was captured, helpers and constants included.
        text: its source text when the Algorithm was made.
    """

    role: str
    sha256: str
    text: str


@dataclass(frozen=True, slots=True)
class Model:
    """What trained a Predictor.

    Attributes:
        predictor: its id.
        job: its Job's id.
        key: the Job's name, of fold and combination.
        queue: its Queue's id.
        experiment: the declared experiment, if any.
        snapshot: of that experiment; the newest that leads to this Queue.
        fold: index of the fold; None without folds.
        repeat_index: which repeat of the Job.
        seed: of the training.
        hyperparameters: of the combination.
        library: `'keras'` or `'pytorch'`.
        analysis_type: what was learned.
        trained_at: when the training ended, ISO 8601.
        is_diverged: whether a loss was not finite.
        stopped: what ended the training with epochs to go, see `Predictor.stopped`.
        epochs: how many its history has.
        metric: what ranks the models of its Queue.
        adopted_from: id of the Predictor that it is a copy of; None where it was trained.
        versions: of the libraries that trained.
        device: what it was trained on, see `JobOutcome`; None where that was not recorded.
    """

    predictor: int
    job: int
    key: str
    queue: int
    experiment: str | None
    snapshot: str | None
    fold: int | None
    repeat_index: int
    seed: int
    hyperparameters: dict[str, Any]
    library: str
    analysis_type: str
    trained_at: str
    is_diverged: bool
    stopped: str | None
    epochs: int
    metric: str
    adopted_from: int | None
    versions: dict[str, str]
    device: dict[str, Any] | None


def model_of(predictor: Predictor) -> Model:
    """Return what trained a Predictor."""
    job = predictor.job
    queue = job.queue
    experiment, snapshot = experiments_of([queue.id]).get(queue.id, (None, None))
    return Model(
        predictor=predictor.id,
        job=job.id,
        key=job.key,
        queue=queue.id,
        experiment=experiment,
        snapshot=snapshot,
        fold=None if job.fold is None else job.fold.idx,
        repeat_index=predictor.repeat_index,
        seed=predictor.seed,
        hyperparameters=job.hyperparameters,
        library=queue.algorithm.library,
        analysis_type=queue.algorithm.analysis_type,
        trained_at=predictor.time_succeeded.isoformat(),
        is_diverged=bool(predictor.is_diverged),
        stopped=predictor.stopped,
        epochs=predictor.epochs,
        metric=Measure.of_queue(queue).metric,
        adopted_from=predictor.adopted_from,
        versions=predictor.versions,
        device=predictor.device,
    )


def experiments_of(queues: list[int]) -> dict[int, tuple[str, str]]:
    """Return `{queue id: (experiment, snapshot)}` of those that a declaration led to."""
    rows = Snapshot.select().order_by(Snapshot.id)
    named = {row.rows.get("queue"): (row.experiment, row.key) for row in rows}
    return {queue: named[queue] for queue in queues if queue in named}


def codes_of(algorithm: Algorithm) -> list[Code]:
    """Return the functions that were given, in the order of their roles."""
    return [
        Code(role, sha256(payload), algorithm.sources.get(role) or NO_SOURCE)
        for role, payload in algorithm.payloads().items()
        if payload is not None
    ]


def datasets_of(splitset: Splitset) -> list[tuple[str, Dataset]]:
    """Return what each Dataset is used as, Features in their order and the Label last."""
    parts = [(f"feature {i}", row.dataset) for i, row in enumerate(splitset.features)]
    return parts if splitset.label is None else [*parts, ("label", splitset.label.dataset)]


def sources_of(splitset: Splitset, *, look: bool = True) -> list[Source]:
    """Return the Datasets of a Splitset, each once.

    Args:
        splitset: whose.
        look: whether the files that they came from are read, to see if they still match.
    """
    uses: dict[int, list[str]] = {}
    rows: dict[int, Dataset] = {}
    for used_as, dataset in datasets_of(splitset):
        uses.setdefault(dataset.id, []).append(used_as)
        rows[dataset.id] = dataset
    return [_source(rows[pk], tuple(used_as), look=look) for pk, used_as in uses.items()]


def _source(dataset: Dataset, used_as: tuple[str, ...], *, look: bool) -> Source:
    matches, note = looked_at(dataset) if look else (None, "not looked at")
    return Source(
        used_as=used_as,
        dataset=dataset.id,
        name=dataset.name,
        version=dataset.version,
        typ=dataset.typ,
        shape=dataset.shape,
        place=dataset.source_path,
        urls=len(dataset.urls or ()),
        ingested=bool(dataset.is_ingested),
        sha256=dataset.sha256_hexdigest,
        matches=matches,
        note=note,
    )


def looked_at(dataset: Dataset) -> tuple[bool | None, str | None]:
    """Say whether what lies outside of the store still is what was registered, and why not."""
    if dataset.urls:
        return None, "urls are not fetched for this"
    if dataset.source_path is None:
        return None, "it was in memory when it was registered"
    try:
        found = _outside(dataset)
    except (IngestError, OSError) as error:
        return False, str(error)
    same = found == dataset.sha256_hexdigest
    return same, None if same else f"its content has changed: now {found}"


def digest_now(dataset: Dataset) -> str:
    """Return the hash of what a Dataset holds now, read whole whatever its time says.

    Raises:
        IngestError: what lies outside of the store cannot be read.
        MetastoreError: the stored bytes are missing or damaged.
    """
    if dataset.is_ingested:
        values = content.from_bytes(dataset.typ, dataset.blob)
        return content.digest_of(values, dataset.columns)
    return _outside(dataset)


def _outside(dataset: Dataset) -> str:
    urls = None if dataset.urls is None else tuple(dataset.urls)
    source = content.Source(dataset.typ, dataset.source_path, urls, dataset.header)
    return content.read(source, rename_columns=dataset.columns, retype=dataset.dtypes).digest()


def faults_of(splitset: Splitset) -> Iterator[str]:
    """Yield a sentence for each Dataset that is not what it was when it was registered."""
    for dataset in {row.id: row for _, row in datasets_of(splitset)}.values():
        try:
            found = digest_now(dataset)
        except (IngestError, MetastoreError, OSError) as error:
            yield f"Dataset {dataset.id} cannot be read as it was registered: {error}"
            continue
        if found != dataset.sha256_hexdigest:
            yield (
                f"Dataset {dataset.id} was registered with SHA-256 "
                f"{dataset.sha256_hexdigest[:12]}…, its content now has {found[:12]}…"
            )


def sha256(data: bytes) -> str:
    """Return the SHA-256 of bytes as hex digits."""
    return hashlib.sha256(data).hexdigest()
