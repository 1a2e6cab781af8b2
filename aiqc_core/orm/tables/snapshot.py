"""Snapshot and Declared: the rows of a declared experiment, for each state of its data.

A schedule, a sensor or a person gives a snapshot its key. The rows of a declaration are found by
the digest of their inputs, so that an unchanged declaration over unchanged data makes no new row.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Self, TypeVar

from peewee import CharField, IntegerField

from aiqc_core.errors import NotFoundError
from aiqc_core.orm.store.database import metastore
from aiqc_core.orm.store.fields import JSONField
from aiqc_core.orm.store.model import BaseModel, after_cascade

if TYPE_CHECKING:
    from collections.abc import Callable

STAGES = (
    "dataset", "feature", "label", "splitset", "hyperparamset", "algorithm", "queue", "prediction",
)  # fmt: skip
Row = TypeVar("Row", bound=BaseModel)


class Declared(BaseModel):
    """The row that a stage of a declaration made from inputs with this digest."""

    experiment = CharField()
    stage = CharField()
    digest = CharField()
    row_id = IntegerField()

    class Meta:
        indexes = ((("experiment", "stage", "digest"), True),)

    @classmethod
    def find_or_make(
        cls,
        table: type[Row],
        experiment: str,
        stage: str,
        inputs: object,
        make: Callable[[], Row],
    ) -> Row:
        """Return the row that a stage made from these inputs before, or make it.

        Args:
            table: the table of the row.
            experiment: the experiment's name.
            stage: the step of its chain.
            inputs: all that determines the row, as JSON can hold it.
            make: makes the row.
        """
        digest = digest_of_inputs(inputs)
        with metastore.atomic():
            known = cls.get_or_none(experiment=experiment, stage=stage, digest=digest)
            found = None if known is None else table.get_or_none(table.id == known.row_id)
            if found is not None:
                return found
            return cls._note(make(), experiment, stage, digest)

    @classmethod
    def replace_row(
        cls, experiment: str, stage: str, inputs: object, make: Callable[[], Row]
    ) -> Row:
        """Make the row of these inputs again; see `find_or_make`."""
        with metastore.atomic():
            return cls._note(make(), experiment, stage, digest_of_inputs(inputs))

    @classmethod
    def digests(cls, experiment: str, stage: str, row: BaseModel) -> set[str]:
        """Return the digests of the inputs that give a row in a stage."""
        of_row = {"experiment": experiment, "stage": stage, "row_id": row.id}
        return {found.digest for found in cls.select().filter(**of_row)}

    @classmethod
    def _note(cls, row: Row, experiment: str, stage: str, digest: str) -> Row:
        of_these = {"experiment": experiment, "stage": stage, "digest": digest}
        cls.delete().where(
            *(getattr(cls, key) == value for key, value in of_these.items())
        ).execute()
        cls.create(**of_these, row_id=row.id)
        return row


class Snapshot(BaseModel):
    """One state of an experiment's data, and the row of each stage that was made for it.

    Attributes:
        metric: ranks its models, as declared when the snapshot was last walked; its Queue, which
            snapshots of equal data share, has the metric of the last walk of any.
    """

    experiment = CharField()
    key = CharField()
    rows = JSONField(default=dict)
    metric = CharField(null=True)

    class Meta:
        indexes = ((("experiment", "key"), True),)

    @classmethod
    def of(cls, experiment: str, key: str) -> Self:
        """Return the snapshot with this key; make it if it is new."""
        with metastore.atomic():
            return cls.get_or_create(experiment=experiment, key=key)[0]

    @classmethod
    def take(cls, experiment: str, key: str) -> bool:
        """Make the snapshot with this key; return False if it is there."""
        with metastore.atomic():
            return cls.get_or_create(experiment=experiment, key=key)[1]

    @classmethod
    def put(cls, experiment: str, key: str, stage: str, row: BaseModel) -> None:
        """Store this row as a stage of the snapshot."""
        with metastore.atomic():
            snapshot = cls.of(experiment, key)
            if snapshot.rows.get(stage) != row.id:
                snapshot.rows = snapshot.rows | {stage: row.id}
                snapshot.save()

    def get_row(self, table: type[Row], stage: str) -> Row:
        """Return the row of a stage.

        Raises:
            NotFoundError: the stage was not materialised for this snapshot, or was deleted.
        """
        row_id = self.rows.get(stage)
        if row_id is None:
            raise NotFoundError(
                f"snapshot {self.key!r} of {self.experiment!r} has no {stage} yet; materialise "
                f"{self.experiment}/{stage} for this snapshot first."
            )
        row = table.get_or_none(table.id == row_id)
        if row is None:
            raise NotFoundError(
                f"snapshot {self.key!r} of {self.experiment!r}: its {stage} was deleted "
                f"({table.__name__}: no row has id {row_id}); materialise "
                f"{self.experiment}/{stage} for this snapshot again, or look at another one."
            )
        return row


def forget_deleted() -> None:
    """Delete what `Declared`, which has no foreign keys, stores of deleted rows.

    A Snapshot stays: its key still stands for the deleted data, no other data get it, and Dagster
    finds its partition by it. `get_row` says that the rows are gone.
    """
    tables = {table._meta.table_name: table for table in BaseModel.__subclasses__()}
    for stage in STAGES:
        rows: Any = tables[stage]
        gone = (Declared.stage == stage) & Declared.row_id.not_in(rows.select(rows.id))
        Declared.delete().where(gone).execute()


after_cascade.append(forget_deleted)


def digest_of_inputs(inputs: object) -> str:
    """Return the digest of a row's inputs, by which the row is found."""
    text = json.dumps(inputs, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
