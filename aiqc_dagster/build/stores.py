"""Bind an experiment on a Dagster instance to the store that filled it first.

Dagster keeps partitions, events and runs by name. Without this, two projects on one instance with
an experiment of the same name would share snapshots.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from aiqc_core import config
from aiqc_core.orm.store import fingerprint

if TYPE_CHECKING:
    from aiqc_core.experiment import Experiment

NOTEBOOK = "notebook"
_NOTED = "aiqc/store/{}"  # under which the instance keeps it


def claim(instance: dg.DagsterInstance, experiment: Experiment | str) -> None:
    """Note that an experiment belongs to this store, or refuse it as another's.

    The key identifies a store that was moved, the place one that was made again.

    Raises:
        Failure: another store has filled it; the message names both and the settings.
    """
    name = experiment if isinstance(experiment, str) else experiment.name
    own, other = _this_store(), _noted(instance, name)
    place = Path(other.get("place", ""))
    is_deleted = place.is_absolute() and not place.exists() and own["host"] == other["host"]
    if not (is_deleted or _is_same(own, other)):
        home = instance.root_directory if instance.is_persistent else "this one"
        message = (
            f"{name}: its snapshots and cells on this Dagster instance belong to another store, "
            f"{other['place']} on {other['host']}; this process uses {own['place']}. Give each "
            f"project a DAGSTER_HOME of its own (now {home}), or point AIQC_HOME (or "
            f"{config.DATABASE_VARIABLE}) at that store, or give the experiment another name. A "
            "copy takes that store's place when that one is moved away."
        )
        raise dg.Failure(message, allow_retries=False)
    if own != other:
        instance.run_storage.set_cursor_values({_NOTED.format(name): json.dumps(own)})


def is_own(instance: dg.DagsterInstance, name: str) -> bool:
    """Say whether no other store has filled an experiment."""
    return _is_same(_this_store(), _noted(instance, name))


def _noted(instance: dg.DagsterInstance, name: str) -> dict[str, str]:
    """Return the store that has filled an experiment; nothing where none has."""
    noted = _NOTED.format(name)
    return json.loads(instance.run_storage.get_cursor_values({noted}).get(noted, "{}"))


def _this_store() -> dict[str, str]:
    host = config.settings.host_id
    return {"key": fingerprint(), "place": config.shown_store(), "host": host}


def _is_same(own: dict[str, str], other: dict[str, str]) -> bool:
    """Say whether two descriptions are of one store, or there is no other.

    Two stores may share a key: a copy of a folder has it too, and `AIQC_STORE_KEY` gives it to
    many. So the places decide where both can be compared, and the key where they cannot: the disk
    of another host, or a store that went from a file to a database.
    """
    if not other:
        return True
    same_key, same_host = own["key"] == other["key"], own["host"] == other["host"]
    if own["place"] == other["place"]:
        return same_key or same_host
    places = Path(own["place"]), Path(other["place"])
    if not any(place.is_absolute() for place in places):  # databases; a server has many names
        return same_key and places[0].name == places[1].name
    if same_host and all(place.is_absolute() for place in places) and places[1].exists():
        return places[0].exists() and places[0].samefile(places[1])
    return same_key
