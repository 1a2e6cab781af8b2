"""Champion: the model of an experiment that is in use, and why it was promoted."""

from __future__ import annotations

from typing import Self

from peewee import CharField, ForeignKeyField, TextField

from aiqc_core.orm.store.fields import JSONField
from aiqc_core.orm.store.model import BaseModel
from aiqc_core.orm.tables.predictor import Predictor


class Champion(BaseModel):
    """A promotion; the newest of an experiment is the model in use.

    Attributes:
        experiment: the declaration's name.
        snapshot: the data that the model was trained on.
        reason: why it was promoted, in a sentence.
        contest: what it and the champion before it scored; empty for the first.
    """

    experiment = CharField(index=True)
    snapshot = CharField()
    reason = TextField()
    contest = JSONField(default=dict)
    predictor = ForeignKeyField(Predictor, backref="championships")

    @classmethod
    def of(cls, experiment: str) -> Self | None:
        """Return the champion of an experiment; None before the first promotion."""
        rows = cls.select().where(cls.experiment == experiment)
        return rows.order_by(cls.id.desc()).first()
