"""Whose an experiment is on a Dagster instance: the store's that filled it first.

Dagster keeps partitions, events and runs by name. Two projects on one instance, each with an
experiment of one name, would take the other's snapshots for their own.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from aiqc_core import config
from aiqc_core.orm import signing

if TYPE_CHECKING:
    from aiqc_core.experiment import Experiment

logger = logging.getLogger(__name__)

NOTEBOOK = "notebook"
_NOTED = "aiqc/store/{}"  # under which the instance keeps it


def claim(instance: dg.DagsterInstance, experiment: Experiment | str) -> None:
    """Note that an experiment is this store's, or refuse it as another's.

    A store that was moved is known by its key, one that was made again by its place.

    Args:
        instance: where its partitions and events are.
        experiment: which, or its name.

    Raises:
        Failure: another store has filled it; the message names both and the settings.
    """
    name = experiment if isinstance(experiment, str) else experiment.name
    noted = _NOTED.format(name)
    known = instance.run_storage.get_cursor_values({noted}).get(noted)
    own = _this_store()
    if known is not None:
        other = json.loads(known)
        if not _is_same(own, other) and not _is_gone(own, other):
            raise dg.Failure(_refusal(instance, name, own, other), allow_retries=False)
    if known != (text := json.dumps(own)):
        instance.run_storage.set_cursor_values({noted: text})


def is_own(instance: dg.DagsterInstance, name: str) -> bool:
    """Say whether no other store has filled an experiment."""
    noted = _NOTED.format(name)
    known = instance.run_storage.get_cursor_values({noted}).get(noted)
    return known is None or _is_same(_this_store(), json.loads(known))


def _this_store() -> dict[str, str]:
    return {
        "key": signing.fingerprint(), "place": config.shown_store(), "host": config.host_id(),
    }  # fmt: skip


def _is_same(own: dict[str, str], other: dict[str, str]) -> bool:
    places = [(store["place"], store["host"]) for store in (own, other)]
    return own["key"] == other["key"] or places[0] == places[1]


def _is_gone(own: dict[str, str], other: dict[str, str]) -> bool:
    """Say whether the other store was a file of this host that is deleted."""
    place = Path(other["place"])
    return own["host"] == other["host"] and place.is_absolute() and not place.exists()


def _refusal(
    instance: dg.DagsterInstance, name: str, own: dict[str, str], other: dict[str, str]
) -> str:
    home = instance.root_directory if instance.is_persistent else "this one"
    return (
        f"{name}: its snapshots and cells on this Dagster instance belong to another store, "
        f"{other['place']} on {other['host']}; this process uses {own['place']}. Give each "
        f"project a DAGSTER_HOME of its own (now {home}), or point AIQC_HOME (or "
        f"{config.DATABASE_VARIABLE}) at that store, or give the experiment another name."
    )
