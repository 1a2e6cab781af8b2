"""Hyperparamset and Hyperparamcombo: values to try, and their combinations."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from peewee import CharField, FloatField, ForeignKeyField, IntegerField, chunked

from aiqc_core import counts
from aiqc_core.orm.store.database import metastore
from aiqc_core.orm.store.fields import JSONField
from aiqc_core.orm.store.model import BaseModel
from aiqc_core.orm.tables.algorithm import Algorithm
from aiqc_core.seeds import SEED_BITS
from aiqc_core.stages.train.functions import capture
from aiqc_core.stages.train.search.grid import TPE, Plan, combination_key, plan
from aiqc_core.stages.train.search.space import parse
from aiqc_core.stages.train.trained_model import restore_functions

if TYPE_CHECKING:
    from collections.abc import Mapping

ROWS_A_STATEMENT = 1000  # SQLite takes 32,766 values in one


class Hyperparamset(BaseModel):
    """The values of each hyperparameter, and how many of their combinations are tried."""

    hyperparameters = JSONField()
    search = CharField(null=True)
    search_count = IntegerField(null=True)
    search_percent = FloatField(null=True)
    seed = IntegerField()
    algorithm = ForeignKeyField(Algorithm, backref="hyperparamsets")

    @classmethod
    def from_algorithm(
        cls,
        algorithm_id: int,
        hyperparameters: Mapping[str, Any],
        search_count: int | None = None,
        search_percent: float | None = None,
        seed: int | None = None,
        *,
        search: str | None = None,
    ) -> Hyperparamset:
        """List the combinations to try: all of them, some drawn without replacement, or by TPE.

        Args:
            algorithm_id: the Algorithm with the functions that take them.
            hyperparameters: `{name: [value, …]}`, each value as JSON can hold it; or, beyond the
                reference, a range `{name: {"low": 1e-4, "high": 0.1, "log": True}}` or
                `{name: {"low": 8, "high": 64, "step": 8}}`, both ends included.
            search_count: how many combinations to try, at least 2; more than there are: all.
            search_percent: the share to try, in (0, 1], rounded up.
            seed: of the draw; `None` draws one, which is stored.
            search: `'grid'`: every combination; `'random'`: a draw; `'tpe'`: the Queue asks Optuna
                for each combination, by the mean over folds and repeats of the ranking metric on
                the ranking split. `None`: a draw where a count is given, else the grid.

        Raises:
            AlgorithmError: an empty list, a value that JSON would change, an impossible range, or
                counts that do not go with the search.
        """
        algorithm = Algorithm.get_by_id(algorithm_id)
        drawn = secrets.randbits(SEED_BITS) if seed is None else counts.seed(seed)
        counted: dict[str, Any] = {"search_count": search_count, "search_percent": search_percent}
        refuse_unfit(algorithm, hyperparameters)
        planned = plan(hyperparameters, search=search, **counted, seed=drawn)
        with metastore.atomic():
            row = cls.create(
                hyperparameters=dict(hyperparameters or {}),
                search=planned.search,
                seed=drawn,
                algorithm=algorithm,
                **counted,
            )
            Hyperparamcombo.add(row, planned.combinations or [], first=0)
        return row

    @property
    def is_adaptive(self) -> bool:
        """Whether results suggest its combinations while a Queue runs."""
        return self.search == TPE

    def planned(self) -> Plan:
        """Return the combinations it tries, planned again."""
        return plan(
            self.hyperparameters,
            search=self.search,
            search_count=self.search_count,
            search_percent=self.search_percent,
            seed=self.seed,
        )


def refuse_unfit(algorithm: Algorithm, hyperparameters: Mapping[str, Any] | None) -> None:
    """Raise AlgorithmError for hyperparameters that an Algorithm's functions cannot take."""
    try:
        user = restore_functions(algorithm.payloads())
    except Exception:  # noqa: BLE001 - it is raised where the functions are used
        return
    capture.refuse_unfit(user, parse(hyperparameters, warn=False))


class Hyperparamcombo(BaseModel):
    """One combination; `key` is a short hash of its content, the same in every set."""

    idx = IntegerField()
    hyperparameters = JSONField()
    key = CharField()
    hyperparamset = ForeignKeyField(Hyperparamset, backref="hyperparamcombos")

    class Meta:
        indexes = ((("hyperparamset", "idx"), True),)

    @classmethod
    def add(
        cls, hyperparamset: Hyperparamset, combinations: list[dict[str, Any]], first: int
    ) -> None:
        """Write combinations of a set, numbered from `first` on, in the caller's transaction."""
        rows = (
            {
                "idx": idx,
                "hyperparameters": combination,
                "key": combination_key(combination),
                "hyperparamset": hyperparamset.id,
            }
            for idx, combination in enumerate(combinations, first)
        )
        for chunk in chunked(rows, ROWS_A_STATEMENT):
            cls.insert_many(chunk).execute()
