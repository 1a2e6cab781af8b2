"""What a look at one part of a store says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OK, WARN, FAIL = "ok", "warn", "fail"
Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Symptom:
    """One part and how it is.

    Attributes:
        part: its name.
        verdict: `'ok'`, `'warn'` (worth a look, nothing is lost) or `'fail'`.
        found: what there is.
        remedy: what mends it, mostly a command; empty where nothing is to be done.
    """

    part: str
    verdict: Verdict
    found: str
    remedy: str = ""
