"""When an experiment trains again, and when its new best model takes over."""

from __future__ import annotations

import re
import zoneinfo
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from aiqc_core.experiment.model.base import Declared

CRON_FIELDS = (
    ("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12),
    ("day of week", 0, 7),
)  # fmt: skip
MACROS = ("@hourly", "@daily", "@weekly", "@monthly", "@yearly")
NAMES = {
    "month": ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    "day of week": ("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
}
PART = re.compile(r"(?:(?P<low>\w+)(?:-(?P<high>\w+))?|\*)(?:/(?P<step>\d+))?")
MOST_HOURS = 24 * 366 * 100
HINT = "'30 6 * * 1-5' is 6:30 on working days"


def checked_cron(value: str) -> str:
    """Return a schedule that cron can read; raise ValueError for another.

    >>> checked_cron("0 6 * * mon-fri")
    '0 6 * * mon-fri'
    """
    if value in MACROS:
        return value
    parts = value.split()
    if len(parts) != len(CRON_FIELDS):
        message = (
            f"{value!r} has {len(parts)} fields; cron has 5: minute, hour, day of month, month, "
            f"day of week; {HINT}. Or one of {', '.join(MACROS)}."
        )
        raise ValueError(message)
    for text, (name, low, high) in zip(parts, CRON_FIELDS, strict=True):
        if not all(_is_cron(part, name, low, high) for part in text.split(",")):
            message = (
                f"{value!r}: {text!r} is no {name} of cron; allowed are {low} to {high}, '*', "
                f"lists '1,2', ranges '1-5' and steps '*/2'; {HINT}."
            )
            raise ValueError(message)
    return value


def checked_timezone(value: str) -> str:
    """Return a timezone that this machine knows; raise ValueError for another."""
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        message = f"{value!r} is no timezone; give one as 'UTC' or 'Europe/Berlin'."
        raise ValueError(message) from None
    return value


def _is_cron(part: str, name: str, low: int, high: int) -> bool:
    found = PART.fullmatch(part.lower())
    if found is None or (found["step"] is not None and int(found["step"]) == 0):
        return False
    names = NAMES.get(name, ())
    ends = [
        names.index(text) + (name == "month") if text in names
        else int(text) if text.isdecimal() else -1
        for text in (found["low"], found["high"]) if text is not None
    ]  # fmt: skip
    return all(low <= end <= high for end in ends) and ends == sorted(ends)


def _hours(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if (is_number and not 0 < value < MOST_HOURS) or value == timedelta(0):
        message = f"{value!r}; give a number of hours above 0, such as 24, or a timedelta."
        raise ValueError(message)
    return timedelta(hours=value) if is_number else value


Cron = Annotated[str, AfterValidator(checked_cron)]
Timezone = Annotated[str, AfterValidator(checked_timezone)]
Freshness = Annotated[timedelta, BeforeValidator(_hours), Field(gt=timedelta(0))]


class Promotion(Declared):
    """When the best model of a snapshot, the challenger, takes the champion's place.

    Both are judged on the champion's own rows. Every condition has to hold.

    Attributes:
        metric: by which they are compared; the experiment's leading metric by default.
        split: of which split the rows are.
        min_improvement: by how much, in the metric's own units, the challenger has to be better; 0
            asks only that it is not worse. Where lower is better the difference is turned round.
        max_p: the p-value of the difference above which it counts as chance; None does not ask.
        level: of the paired confidence interval that is shown.
    """

    path: ClassVar[tuple[str, ...]] = ("promotion",)

    metric: str | None = None
    split: Literal["train", "validation", "test"] = "test"
    min_improvement: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 0.0
    max_p: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    level: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.95
