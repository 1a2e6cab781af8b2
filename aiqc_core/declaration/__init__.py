"""Experiments declared in files: YAML that says what `aiqc_core.experiment` says in Python."""

from __future__ import annotations

from aiqc_core.declaration.discovery import Found, discover, is_declared, is_open
from aiqc_core.declaration.faults import Fault, told
from aiqc_core.declaration.reading import COMPONENT, examine, load, of_values

__all__ = [
    "COMPONENT",
    "Fault",
    "Found",
    "discover",
    "examine",
    "is_declared",
    "is_open",
    "load",
    "of_values",
    "told",
]
