"""Find every model that a row of a Dataset trained or judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from peewee import JOIN

from aiqc_core.orm.lineage.facts import experiments_of
from aiqc_core.orm.lineage.trace import checked_row
from aiqc_core.orm.tables.champion import Champion
from aiqc_core.orm.tables.feature import Feature
from aiqc_core.orm.tables.hyperparameter import Hyperparamcombo
from aiqc_core.orm.tables.job import Job
from aiqc_core.orm.tables.label import Label
from aiqc_core.orm.tables.predictor import Predictor
from aiqc_core.orm.tables.queue import Queue
from aiqc_core.orm.tables.splitset import Fold, Splitset, SplitsetFeature
from aiqc_core.stages.train.hooks.observer import PRUNER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiqc_core.orm.tables.dataset import Dataset
    from aiqc_core.stages.preprocess.window import Windows

TRAINED, EVALUATED, NEVER, NEW = "train", "judge", "never", "new data"


@dataclass(frozen=True, slots=True)
class Seen:
    """How one Predictor uses a row.

    Attributes:
        role: `'train'`: the row is under a sample that trained it; `'judge'`: only under samples
            that judged it; `'never'`: under none, though its Dataset was used (a gap); `'new
            data'`: the row was given to it to predict.
        splits: `{split: positions of the samples that the row is under}`; several where windows
            overlap.
        fitted_on_all: coders fitted on all rows whatever the split, such as those of categories.
    """

    predictor: int
    role: str
    splits: dict[str, list[int]]
    used_as: tuple[str, ...]  # `'feature 0'`… and `'label'`
    dataset: int  # id of the Dataset that was used: this one, or another of equal content
    fitted_on_all: tuple[str, ...]
    status: str  # `'trained'`, `'diverged'` or `'adopted from Predictor <id>'`
    queue: int
    job: str  # its Job's key
    fold: int | None  # index of its fold; None without folds
    repeat_index: int
    experiment: str | None  # the declared experiment, if any, and its `snapshot`
    snapshot: str | None
    champion: bool  # whether an experiment uses this model


@dataclass(frozen=True, slots=True)
class Sighting:
    """Every model that uses one row.

    Attributes:
        models: every Predictor of Splitsets that use one of these, those that trained on it first.
    """

    dataset: int  # id of the Dataset that was asked about
    row: int  # the row's position
    rows: int  # how many rows there are
    equal_datasets: list[int]  # ids of other Datasets with the same content
    models: list[Seen]

    @property
    def trained(self) -> list[Seen]:
        """The models that trained on the row."""
        return [model for model in self.models if model.role == TRAINED]


def seen(dataset: Dataset, row: int) -> Any:
    """Return which models trained on a row, by its position; see `row_usage.Sighting`."""
    count = dataset.shape["samples"]
    row = checked_row(f"Dataset {dataset.id}", row, count, "rows")
    table = type(dataset)
    alike = (table.sha256_hexdigest == dataset.sha256_hexdigest) & (table.typ == dataset.typ)
    ids: list[int] = [row.id for row in table.select(table.id).where(alike).order_by(table.id)]
    models = [each for use in _uses(ids) for each in _of_use(use, row)]
    order = (TRAINED, EVALUATED, NEVER, NEW)
    return Sighting(
        dataset=dataset.id,
        row=row,
        rows=count,
        equal_datasets=[pk for pk in ids if pk != dataset.id],
        models=sorted(models, key=lambda m: (order.index(m.role), m.predictor)),
    )


@dataclass(slots=True)
class _Use:
    """A Splitset, and how it uses a Dataset."""

    splitset: Splitset
    dataset: int
    used_as: list[str]
    rules: list[Windows | None]
    on_all: list[str]

    def samples(self, row: int, positions: Any) -> list[int]:
        """Return the samples at these positions that a row is under, in their order."""
        under = np.zeros(len(positions), dtype=bool)
        for rule in self.rules:
            if rule is None:
                under |= positions == row
                continue
            for shifted in (False, True)[: 1 + rule.record_shifted]:
                starts = rule.start(0, shifted=shifted) + positions * rule.size_shift
                under |= (starts <= row) & (row < starts + rule.size_window)
        return positions[under].tolist()


def _uses(datasets: list[int]) -> Iterable[_Use]:
    """Return every Splitset that uses one of the Datasets, and how."""
    found: dict[int, _Use] = {}
    places = (
        SplitsetFeature.select(SplitsetFeature, Feature, Splitset)
        .join(Feature)
        .switch(SplitsetFeature)
        .join(Splitset)
        .where(Feature.dataset.in_(datasets))
        .order_by(SplitsetFeature.splitset, SplitsetFeature.idx)
    )
    parts: list[tuple[Splitset, str, Any]] = [
        (place.splitset, f"feature {place.idx}", place.feature) for place in places
    ]
    labelled: Any = Splitset.select(Splitset, Label).join(Label)
    parts += [(row, "label", row.label) for row in labelled.where(Label.dataset.in_(datasets))]
    for splitset, used_as, part in parts:
        use = found.setdefault(splitset.id, _Use(splitset, part.dataset_id, [], [], []))
        use.used_as.append(used_as)
        use.rules.extend([row.rule() for row in getattr(part, "windows", ())] or [None])
        coders = part.labelcoders if used_as == "label" else part.ordered_coders()
        use.on_all += [
            f"{type(coder.sklearn_preprocess).__name__} of {used_as}"
            for coder in coders
            if not coder.only_fit_train
        ]
    return found.values()


def _of_use(use: _Use, row: int) -> Iterable[Seen]:
    """Yield how the Predictors of a Splitset use a row."""
    splitset = use.splitset
    is_new, condition = splitset.predictor_id is not None, Queue.splitset == splitset
    if is_new:
        condition = Predictor.id == splitset.predictor_id
    splits: dict[int | None, dict[str, list[int]]] = {}
    for fold in [None] if is_new else splitset.parts():
        positions = (fold or splitset).positions()
        under = {name: use.samples(row, members) for name, members in positions.items()}
        splits[fold and fold.id] = {
            name: found for name, found in under.items() if found or is_new
        }
    for predictor, facts in _predictors(condition):
        found = splits[None if is_new else predictor.job.fold_id]
        role = TRAINED if splitset.key_train in found else EVALUATED if found else NEVER
        yield _seen(use, predictor, NEW if is_new else role, found, facts)


def _predictors(condition: Any) -> Iterable[tuple[Predictor, dict[str, Any]]]:
    """Yield Predictors with their experiment, its snapshot and whether it uses them."""
    query: Any = (
        Predictor.select(Predictor, Job, Queue, Fold, Hyperparamcombo)
        .join(Job)
        .join(Queue)
        .switch(Job)
        .join(Fold, JOIN.LEFT_OUTER)
        .switch(Job)
        .join(Hyperparamcombo, JOIN.LEFT_OUTER)
        .where(condition)
        .order_by(Predictor.id)
    )
    predictors: list[Predictor] = list(query)
    names = experiments_of(sorted({predictor.job.queue_id for predictor in predictors}))
    newest = {row.experiment: row.predictor_id for row in Champion.select().order_by(Champion.id)}
    for predictor in predictors:
        experiment, snapshot = names.get(predictor.job.queue_id, (None, None))
        champion = predictor.id in newest.values()
        yield predictor, {"experiment": experiment, "snapshot": snapshot, "champion": champion}


def _seen(
    use: _Use, predictor: Predictor, role: str, splits: dict[str, list[int]], facts: dict[str, Any]
) -> Seen:
    job = predictor.job
    status = "diverged" if predictor.is_diverged else "trained"
    if predictor.stopped == PRUNER:
        status += f", cut short by a pruner after {predictor.epochs} epochs"
    if predictor.adopted_from is not None:
        status = f"adopted from Predictor {predictor.adopted_from}"
    return Seen(
        predictor=predictor.id,
        role=role,
        splits=splits,
        used_as=tuple(use.used_as),
        dataset=use.dataset,
        fitted_on_all=() if role == NEW else tuple(use.on_all),
        status=status,
        queue=job.queue_id,
        job=job.key,
        fold=None if job.fold is None else job.fold.idx,
        repeat_index=predictor.repeat_index,
        **facts,
    )
