"""Word error messages: places in a declaration, likely remedies, an Experiment's terms."""

from __future__ import annotations

import re
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING

from aiqc_core.errors import AIQCError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

Place = tuple[str | int, ...]

# Patterns of the words of rows, and the words of an Experiment.
ROW_WORDS = {
    r"^sklearn_preprocess: ": "",
    r"\bsplitset_id: Feature \d+ has columns": "pipeline.feature_encoders: there are columns",
    r"\((?:exclude_columns)\)": "(pipeline.features)",
    r"\b(?:exclude|include)_columns\b": "pipeline.features",
    r"\bfeature_ids?\b": "pipeline.features",
    r"\blabel_id\b": "pipeline.label",
    r"\bsplitset_id\b": "pipeline",
    r"\b(?:hyperparamset|algorithm)_id\b": "training",
    r"\bFeatureCoder\b": "encoder (pipeline.feature_encoders)",
    r"\bLabelCoder\b": "encoder (pipeline.label_encoder)",
    r"\bFeatureInterpolater\b": "interpolation (pipeline.interpolations)",
    r"\bLabelInterpolater\b": "interpolation (pipeline.label_interpolation)",
    r"\bFeatureShaper\b": "shape (pipeline.reshape_indices)",
    r"\bsklearn_preprocess\b": "encoder",
    r"\bSplitset\.make\b": "pipeline",
    r"\bAlgorithm\.make\b": "Training",
}


def dotted(place: Place) -> str:
    """Return a place in a declaration as people write it.

    >>> dotted(("pipeline", "feature_encoders", 0, "encoder"))
    'pipeline.feature_encoders[0].encoder'
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")


def did_you_mean(given: object, allowed: Sequence[str]) -> str:
    """Return the end of a message: the closest allowed name, else all of them.

    >>> did_you_mean("lable", ["label", "features"])
    "Did you mean 'label'?"
    """
    close = get_close_matches(str(given), allowed, n=1)
    if close:
        return f"Did you mean {close[0]!r}?"
    shown = ", ".join(allowed[:30])
    return f"Allowed: {shown}{', …' if len(allowed) > 30 else ''}."  # noqa: PLR2004 - fits a line


def in_experiment(message: str) -> str:
    """Return a message about rows in the words of an Experiment.

    >>> in_experiment("splitset_id: use FeatureCoder.")
    'pipeline: use encoder (pipeline.feature_encoders).'
    """
    for rows, fields in ROW_WORDS.items():
        message = re.sub(rows, fields, message)
    return message


@contextmanager
def reworded(place: str = "") -> Generator[None]:
    """Reword an error about rows in the words of an Experiment, with the place of its field."""
    try:
        yield
    except AIQCError as error:
        text = in_experiment(str(error))
        head = f"{place}: " if place and place not in text else ""
        if head + text == str(error):
            raise
        raise type(error)(head + text) from error
