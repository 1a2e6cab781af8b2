"""Refuse to train and predict where Keras has another backend than TensorFlow.

Keras takes its backend from `KERAS_BACKEND` or its settings file when it is first imported, so two
processes could train on different backends.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from aiqc_core.config import PARENT_VARIABLE
from aiqc_core.errors import AlgorithmError

OURS = "tensorflow"
VARIABLE = "KERAS_BACKEND"


def refuse_other() -> None:
    """Raise AlgorithmError where Keras has, or would have, another backend than TensorFlow."""
    backend, where = chosen()
    if backend != OURS:
        raise AlgorithmError(
            f"library: 'keras' runs on TensorFlow here, and {where} says {backend!r}: models of "
            "one Queue would be trained and used on different backends. Set "
            f"{VARIABLE}={OURS} before keras is imported, or train PyTorch models with "
            "library='pytorch'."
        )


def chosen() -> tuple[str, str]:
    """Return the backend that Keras has or would have in this process, and who chose it."""
    if parent := os.environ.get(PARENT_VARIABLE):
        return parent, "the process that started this worker"
    keras: Any = sys.modules.get("keras")
    if keras is not None and hasattr(keras, "backend"):
        return keras.backend.backend(), "keras, as it was imported,"
    if os.environ.get(VARIABLE):
        return os.environ[VARIABLE], VARIABLE
    file = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "keras.json"
    try:
        backend = json.loads(file.read_text(encoding="utf-8")).get("backend")
    except (OSError, ValueError, AttributeError):
        backend = None
    return backend or OURS, str(file)
