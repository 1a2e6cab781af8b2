"""What pydantic finds wrong, told with the place, the value and the likeliest remedy."""

from __future__ import annotations

import re
import types
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from aiqc_core.declaration.faults import did_you_mean
from aiqc_core.experiment import Experiment, FeatureEncoder, Training
from aiqc_core.experiment.base import Declared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import ValidationError

    from aiqc_core.declaration.faults import Place

YAML_KEYS: dict[type[Declared], tuple[str, ...]] = {
    Training: ("functions",),
    FeatureEncoder: ("args",),
}
PATTERNS = {
    "name": "should be up to 60 lower-case letters, digits and underscores, a letter first",
    "owner": "should be a team ('team:ml') or an e-mail address",
}
UNKNOWN, MISSING, VALUE = "extra_forbidden", "missing", "value_error"


def problems(error: ValidationError, data: Any) -> Iterator[tuple[Place, str]]:
    """Yield each place that is wrong and a message, the members of a union in one.

    Args:
        error: what validating gave.
        data: what was validated.
    """
    found: dict[Place, list[str]] = {}
    for detail in error.errors(include_url=False):
        place = _written(detail["loc"], data, detail["type"])
        message = _message(place, detail)
        if detail["type"] == VALUE:
            place, message = _narrowed(place, message, data)
        messages = found.setdefault(place, [])
        if message not in messages:
            messages.append(message)
    for place, messages in found.items():
        yield place, " Or: ".join(messages)


def keys_at(place: Place) -> list[str]:
    """Return the keys that a place of a declaration may have.

    >>> keys_at(("pipeline", "window"))
    ['size_window', 'size_shift']
    """
    model: type[Declared] | None = Experiment
    for part in place:
        if isinstance(part, int) or model is None:
            continue
        known = model.model_fields.get(part)
        model = None if known is None else _model_in(known.annotation)
    return [] if model is None else [*model.model_fields, *YAML_KEYS.get(model, ())]


def _message(place: Place, detail: Any) -> str:
    if detail["type"] == UNKNOWN:
        return f"no such key. {did_you_mean(place[-1], keys_at(place[:-1]))}"
    if detail["type"] == MISSING:
        return "is missing, and has no default."
    if detail["type"] == VALUE:
        return str(detail["ctx"]["error"])
    said = detail["msg"].removeprefix("Input ")
    if detail["type"] == "string_pattern_mismatch":
        said = PATTERNS.get(str(place[-1]), said)
    return f"{detail['input']!r} {said}."


def _narrowed(place: Place, message: str, data: Any) -> tuple[Place, str]:
    """Move the argument with which an error of ours begins from the message to the place."""
    named, _, rest = message.partition(": ")
    if place and named == place[-1]:
        return _quoted(place, rest, data), rest
    below = (*place, *named.split("."))
    return (below, rest) if rest and _written(below, data, VALUE) == below else (place, message)


def _quoted(place: Place, message: str, data: Any) -> Place:
    """Return the key of a mapping that a message quotes, where it quotes one."""
    quoted = re.search(r"'([^']+)'", message)
    below = (*place, quoted[1]) if quoted else place
    return _written(below, data, VALUE)


def _written(loc: tuple[Any, ...], data: Any, kind: str) -> Place:
    """Return the part of pydantic's place that the file has, without the members of unions."""
    place: list[str | int] = []
    for part in loc:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return (*place, part) if kind == MISSING else tuple(place)
        place.append(part)
    return tuple(place)


def _model_in(annotation: Any) -> type[Declared] | None:
    """Return the model that an annotation holds: itself, in a list, or optional."""
    if isinstance(annotation, type) and issubclass(annotation, Declared):
        return annotation
    if get_origin(annotation) in {list, Union, types.UnionType, Annotated}:
        inner = (_model_in(argument) for argument in get_args(annotation))
        return next((model for model in inner if model is not None), None)
    return None
