"""The source text of functions: `aiqc_core.utils.dill.reveal_code`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiqc_core.orm.tables.algorithm import Algorithm
from aiqc_core.stages.train.functions.source import source_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["reveal_code"]


def reveal_code(function: Callable[..., object] | bytes | None) -> str | None:
    """Return the source text of a function, live or stored.

    Args:
        function: a function, or what a column of an Algorithm holds, such as `algorithm.fn_build`.

    Returns:
        The text that the function was made from; None where there is none, never another's.
    """
    if function is None:
        return None
    return Algorithm.text_of(function) if isinstance(function, bytes) else source_of(function)
