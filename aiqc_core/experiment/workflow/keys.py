"""Keys made of the time: each key names one state of the data."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from aiqc_core.config import timezone_now
from aiqc_core.orm import Dataset, Snapshot

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from aiqc_core.experiment import Experiment

DAY, SECOND = "%Y-%m-%d", "%Y-%m-%d_%H%M%S"


def free_key(
    experiment: Experiment,
    digest: str,
    when: datetime | None = None,
    *,
    finest: bool = False,
    taken: Collection[str] = (),
) -> str:
    """Return the newest snapshot's key if it is of this time and content, else a new one.

    The day's date comes first, then date and time to the second, then that with a number. `digest`
    is that of the source's present content, `when` the present time by default; `finest` begins
    with date and time; `taken` are keys that other content is about to get.
    """
    newest = newest_snapshot(experiment)

    def is_free(key: str) -> bool:
        """Say whether a key has no content yet, or this one, and no other has come since."""
        known = Snapshot.get_or_none(experiment=experiment.name, key=key)
        content = None if known is None else content_of(known)
        return content is None or (known == newest and content == digest)

    keys = _names(when or timezone_now(), finest=finest)
    return next(key for key in keys if key not in taken and is_free(key))


def today() -> str:
    """Return the key of a snapshot of today's data."""
    return timezone_now().strftime(DAY)


def content_of(snapshot: Snapshot) -> str | None:
    """Return the digest of a snapshot's content as `source_digest` has it; None without data.

    Rows that were deleted meanwhile have no digest: the key stays that of what they held.
    """
    if "label_dataset" not in snapshot.rows:
        return None
    ids = (snapshot.rows[stage] for stage in ("dataset", "label_dataset"))
    found = [Dataset.get_or_none(Dataset.id == row_id) for row_id in ids]
    digests = ("deleted" if row is None else row.sha256_hexdigest for row in found)
    return "_".join(dict.fromkeys(digests))


def newest_snapshot(experiment: Experiment) -> Snapshot | None:
    """Return the snapshot that was opened last and has its data registered."""
    of_it = Snapshot.select().where(Snapshot.experiment == experiment.name)
    rows = of_it.order_by(Snapshot.id.desc())
    return next((row for row in rows if "label_dataset" in row.rows), None)


def _names(when: datetime, *, finest: bool) -> Iterator[str]:
    """Yield keys of a moment, the coarsest first."""
    if not finest:
        yield when.strftime(DAY)
    second = when.strftime(SECOND)
    yield second
    yield from (f"{second}_{number}" for number in count(2))


def free_batch(experiment: Experiment) -> str:
    """Reserve a key of date and time that no batch has."""
    place = batches_of(experiment)
    return next(key for key in _names(timezone_now(), finest=True) if Snapshot.take(place, key))


def batches_of(experiment: Experiment) -> str:
    """Return the name under which the batches of an experiment are noted."""
    return f"{experiment.name}/batch"
