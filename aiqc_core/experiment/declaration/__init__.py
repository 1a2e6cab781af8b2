"""Experiments declared in files: YAML that says what `aiqc_core.experiment` says in Python."""

from __future__ import annotations

from aiqc_core.experiment.declaration.discovery import FOLDER, MODULE, Found, discover, survey
from aiqc_core.experiment.declaration.faults import Fault
from aiqc_core.experiment.declaration.names import package_of
from aiqc_core.experiment.declaration.reading import COMPONENT, LOADER, examine, load, of_values
from aiqc_core.experiment.declaration.unread import find as find_misnamed

__all__ = [
    "COMPONENT", "FOLDER", "LOADER", "MODULE", "Fault", "Found", "discover", "examine",
    "find_misnamed", "load", "of_values", "package_of", "survey",
]  # fmt: skip
