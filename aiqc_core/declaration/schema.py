"""What pydantic finds wrong in a file, said with the place, the value and the likeliest remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiqc_core.experiment import Experiment, FeatureEncoder, Training, base

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import ValidationError

    from aiqc_core.experiment.base import Declared
    from aiqc_core.wording import Place

YAML_KEYS: dict[type[Declared], tuple[str, ...]] = {
    Training: ("functions",),
    FeatureEncoder: ("args",),
}


def problems(error: ValidationError, data: Any) -> Iterator[tuple[Place, str]]:
    """Yield each place that is wrong and a message, see `experiment.base.problems`."""
    yield from base.problems(error, data, keys_at, "key")


def keys_at(place: Place) -> list[str]:
    """Return the keys that a place of a declaration may have.

    >>> keys_at(("pipeline", "window"))
    ['size_window', 'size_shift']
    """
    model = base.model_at(place, Experiment)
    return [] if model is None else [*model.model_fields, *YAML_KEYS.get(model, ())]
