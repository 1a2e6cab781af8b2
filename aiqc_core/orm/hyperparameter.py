"""Hyperparamset and Hyperparamcombo: the values to try, and each combination of them."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from peewee import CharField, FloatField, ForeignKeyField, IntegerField

from aiqc_core.orm.algorithm import Algorithm
from aiqc_core.orm.base import BaseModel
from aiqc_core.orm.database import metastore
from aiqc_core.orm.fields import JSONField
from aiqc_core.seeds import SEED_BITS
from aiqc_core.train import search

if TYPE_CHECKING:
    from collections.abc import Mapping


class Hyperparamset(BaseModel):
    """The values of each hyperparameter, and how many of their combinations are tried."""

    hyperparameters = JSONField()
    search_count = IntegerField(null=True)
    search_percent = FloatField(null=True)
    seed = IntegerField()
    algorithm = ForeignKeyField(Algorithm, backref="hyperparamsets")

    @classmethod
    def from_algorithm(
        cls,
        algorithm_id: int,
        hyperparameters: Mapping[str, list[object]],
        search_count: int | None = None,
        search_percent: float | None = None,
        seed: int | None = None,
    ) -> Hyperparamset:
        """List the combinations to try: all of them, or some drawn without replacement.

        Args:
            algorithm_id: the Algorithm whose functions take them.
            hyperparameters: `{name: [value, …]}`, each value as JSON can hold it.
            search_count: how many combinations to draw, at least 2; more than there are: all.
            search_percent: the share to draw, in (0, 1], rounded up.
            seed: the draw; `None` draws one, which is stored.

        Raises:
            AlgorithmError: an empty list, a value that JSON would change, or both searches.
        """
        algorithm = Algorithm.get_by_id(algorithm_id)
        drawn = secrets.randbits(SEED_BITS) if seed is None else int(seed)
        combinations = search.sample(
            search.grid(dict(hyperparameters)),
            search_count=search_count,
            search_percent=search_percent,
            seed=drawn,
        )
        with metastore.atomic():
            row = cls.create(
                hyperparameters=dict(hyperparameters),
                search_count=search_count,
                search_percent=search_percent,
                seed=drawn,
                algorithm=algorithm,
            )
            for idx, combination in enumerate(combinations):
                Hyperparamcombo.create(
                    idx=idx,
                    hyperparameters=combination,
                    key=search.combination_key(combination),
                    hyperparamset=row,
                )
        return row


class Hyperparamcombo(BaseModel):
    """One combination; `key` is a short hash of its content, the same in every set."""

    idx = IntegerField()
    hyperparameters = JSONField()
    key = CharField()
    hyperparamset = ForeignKeyField(Hyperparamset, backref="hyperparamcombos")

    class Meta:
        indexes = ((("hyperparamset", "idx"), True),)
