"""Convert the history that `fn_train` returns to Python's numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.errors import TrainingError
from aiqc_core.stages.train.backends.arrays import as_array

if TYPE_CHECKING:
    from collections.abc import Mapping


def plain_history(history: Mapping[Any, Any]) -> dict[str, list[float]]:
    """Turn numpy scalars, arrays and tensors into Python's numbers, a list a name.

    Raises:
        TrainingError: values that are no numbers, or several of them for one epoch.

    >>> plain_history({"loss": np.array([0.5, 0.25])})
    {'loss': [0.5, 0.25]}
    """
    plain: dict[str, list[float]] = {}
    for name, values in history.items():
        try:
            if isinstance(values, list | tuple):
                plain[str(name)] = [float(as_array(value).reshape(())) for value in values]
            else:  # one tensor, array, or number
                plain[str(name)] = [float(value) for value in np.atleast_1d(as_array(values))]
        except (TypeError, ValueError) as error:
            raise TrainingError(
                f"fn_train: history[{name!r}] holds {str(values)[:80]}; give a list of numbers, "
                "one an epoch."
            ) from error
    return plain
