"""Experiments declared in files: YAML that says what `aiqc_core.experiment` says in Python."""

from __future__ import annotations

from aiqc_core.declaration.discovery import Found, discover
from aiqc_core.declaration.faults import Fault, told
from aiqc_core.declaration.reading import COMPONENT, examine, load, of_values

__all__ = ["COMPONENT", "Fault", "Found", "discover", "examine", "load", "of_values", "told"]
