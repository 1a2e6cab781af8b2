"""Read from the rows where a Predictor comes from: its sources, its code, what trained it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiqc_core.errors import IngestError, MetastoreError
from aiqc_core.orm.tables.algorithm import NO_SOURCE
from aiqc_core.orm.tables.snapshot import Snapshot
from aiqc_core.orm.training.measure import Measure
from aiqc_core.stages.evaluate import checks
from aiqc_core.stages.ingest import content

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiqc_core.orm.tables.algorithm import Algorithm
    from aiqc_core.orm.tables.dataset import Dataset
    from aiqc_core.orm.tables.predictor import Predictor
    from aiqc_core.orm.tables.splitset import Splitset
    from aiqc_core.stages.evaluate.checks import Finding


@dataclass(frozen=True, slots=True)
class Source:
    """One Dataset that a Predictor follows from.

    Attributes:
        matches: whether `place` still has this content; None where nothing was read.
    """

    used_as: tuple[str, ...]  # `'feature 0'`, `'feature 1'`… and `'label'`
    dataset: int
    name: str | None
    version: int | None  # of its name
    typ: str  # `'tabular'`, `'sequence'` or `'image'`
    shape: dict[str, int]  # `{axis: length}`
    place: str | None  # the file or folder it was read from; None for what was in memory
    urls: int  # how many urls it was read from
    ingested: bool  # whether the store holds its values
    sha256: str  # of its content (names, dtypes, values)
    matches: bool | None = None
    note: str | None = None  # why it does not match, or was not read


@dataclass(frozen=True, slots=True)
class Code:
    """One function of an Algorithm."""

    role: str  # `'fn_build'`…
    sha256: str  # of the function as it was captured, with helpers and constants
    text: str  # its source text when the Algorithm was made


@dataclass(frozen=True, slots=True)
class Model:
    """What trained a Predictor.

    Attributes:
        device: what it was trained on, see `JobOutcome`; None where that was not recorded.
    """

    predictor: int  # its id; `job` and `queue` are the ids of these
    job: int
    key: str  # the Job's name, made of fold and combination
    queue: int
    experiment: str | None  # the declared experiment, if any
    snapshot: str | None  # the newest of that experiment that leads to this Queue
    fold: int | None  # index of the fold; None without folds
    repeat_index: int
    seed: int
    hyperparameters: dict[str, Any]
    library: str  # `'keras'` or `'pytorch'`
    analysis_type: str
    trained_at: str  # when the training ended, ISO 8601
    is_diverged: bool  # whether a loss was not finite
    stopped: str | None  # what ended the training with epochs left, see `Predictor.stopped`
    epochs: int
    metric: str  # what ranks the models of its Queue
    adopted_from: int | None  # id of the Predictor that it is a copy of; None where it was trained
    versions: dict[str, str]  # of the libraries that trained
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
    """Return `{queue id: (experiment, snapshot)}` of the Queues that a declaration made."""
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


def parts_of(splitset: Splitset) -> dict[str, Any]:
    """Return `{part: row}` of the Features in their order, and the Label last."""
    parts: dict[str, Any] = {f"feature {i}": row for i, row in enumerate(splitset.features)}
    return parts if splitset.label is None else parts | {"label": splitset.label}


def datasets_of(splitset: Splitset) -> list[tuple[str, Dataset]]:
    """Return each use of a Dataset, the Label's last."""
    return [(part, row.dataset) for part, row in parts_of(splitset).items()]


def sources_of(splitset: Splitset, *, look: bool = True) -> list[Source]:
    """Return the Datasets of a Splitset, each once; `look` reads the files that they came from."""
    uses = datasets_of(splitset)
    return [
        Source(
            used_as=tuple(used_as for used_as, row in uses if row == dataset),
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
        for dataset in {row.id: row for _, row in uses}.values()
        for matches, note in [_compared(dataset) if look else (None, "not looked at")]
    ]


def _compared(dataset: Dataset) -> tuple[bool | None, str | None]:
    """Say whether the source outside of the store still has the registered content, or why not."""
    if dataset.urls:
        return None, "urls are not fetched for this"
    if dataset.source_path is None:
        return None, "it was in memory when it was registered"
    try:
        found = _digest_outside(dataset)
    except (IngestError, OSError) as error:
        return False, str(error)
    same = found == dataset.sha256_hexdigest
    return same, None if same else f"its content has changed: now {found}"


def contents_now(datasets: Iterable[Dataset]) -> list[Finding]:
    """Hash each Dataset's present content again, stored or outside, whatever its mtime is."""
    findings: list[Finding] = []
    for dataset in {row.id: row for row in datasets}.values():
        name = f"Dataset {dataset.id}"
        try:
            if dataset.is_ingested:
                values = content.from_bytes(dataset.typ, dataset.blob)
                found = content.digest_of(values, dataset.columns)
            else:
                found = _digest_outside(dataset)
        except (IngestError, MetastoreError, OSError) as error:
            summary = f"{name} cannot be read as it was registered: {error}"
            findings.append(checks.Finding(checks.FAILED, summary))
        else:
            findings.append(checks.unchanged(name, dataset.sha256_hexdigest, found))
    return findings


def _digest_outside(dataset: Dataset) -> str:
    urls = None if dataset.urls is None else tuple(dataset.urls)
    source = content.Source(dataset.typ, dataset.source_path, urls, dataset.header)
    return content.read(source, rename_columns=dataset.columns, retype=dataset.dtypes).digest()


def sha256(data: bytes) -> str:
    """Return the SHA-256 of bytes as hex digits."""
    return hashlib.sha256(data).hexdigest()
