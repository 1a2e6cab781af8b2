"""Which backend Keras has: TensorFlow in every process, or training and predicting are refused.

Keras takes its backend from whoever imports it first, from `KERAS_BACKEND`, or from its settings
file, so that one process could train on another backend than the next.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from aiqc_core.errors import AlgorithmError

OURS = "tensorflow"
VARIABLE = "KERAS_BACKEND"
PARENT_VARIABLE = "AIQC_PARENT_KERAS_BACKEND"  # to a worker: what the process that started it has


def refuse_other() -> None:
    """Refuse to work where Keras has, or is to have, another backend than TensorFlow.

    Raises:
        AlgorithmError: names the backend, who chose it, and what to do.
    """
    backend, where = chosen()
    if backend != OURS:
        message = (
            f"library: 'keras' runs on TensorFlow here, and {where} says {backend!r}: models of "
            "one Queue would be trained and used on different backends. Set "
            f"{VARIABLE}={OURS} before keras is imported, or train PyTorch models with "
            "library='pytorch'."
        )
        raise AlgorithmError(message)


def chosen() -> tuple[str, str]:
    """Return the backend that Keras has or would have in this process, and who chose it."""
    given = os.environ.get(PARENT_VARIABLE)
    if given:
        return given, "the process that started this worker"
    keras: Any = sys.modules.get("keras")
    if keras is not None and hasattr(keras, "backend"):
        return keras.backend.backend(), "keras, as it was imported,"
    if os.environ.get(VARIABLE):
        return os.environ[VARIABLE], VARIABLE
    file = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "keras.json"
    try:
        said = json.loads(file.read_text(encoding="utf-8")).get("backend")
    except (OSError, ValueError, AttributeError):
        said = None
    return said or OURS, str(file)


def of_workers() -> dict[str, str]:
    """Return the environment by which a worker has the backend of this process, or refuses."""
    return {VARIABLE: OURS, PARENT_VARIABLE: chosen()[0]}
