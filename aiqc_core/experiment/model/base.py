"""The base of every part of a declaration: a frozen value that reports what is wrong in it."""

from __future__ import annotations

import re
import types
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, Union, get_args, get_origin

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from aiqc_core.errors import DeclarationError
from aiqc_core.wording import did_you_mean, dotted, in_experiment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from aiqc_core.wording import Place

MOST = 2**31  # of whole numbers
LONGEST = 80  # characters of a value that is shown
PATTERNS = {
    "name": "should be up to 60 lower-case letters, digits and underscores, a letter first",
    "owner": "should be a team ('team:ml') or an e-mail address",
}
UNKNOWN, MISSING, VALUE = "extra_forbidden", "missing", "value_error"


class _Reporting(type(BaseModel)):
    """Report in a line each what is wrong with a declaration that is made in Python."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """Make the value; raise DeclarationError with a line for each wrong field, by its path."""
        owner: Any = cls
        try:
            return super().__call__(*args, **kwargs)
        except ValidationError as error:
            found = list(problems(error, kwargs, lambda place: keys_at(place, owner)))
        lines = [
            f"{dotted((*owner.path, *place)) or cls.__name__}: {in_experiment(message)}"
            for place, message in found
        ]
        raise DeclarationError("\n".join(lines))


class Declared(BaseModel, metaclass=_Reporting):
    """A frozen value; a key that it does not have is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
    path: ClassVar[tuple[str, ...]] = ()  # where it stands in an Experiment

    def faults(self) -> Iterable[str]:
        """Return what no run can use, each message with its field first; the first is raised."""
        return ()

    @model_validator(mode="after")
    def _refuse_faults(self) -> Self:
        for message in self.faults():
            raise ValueError(message)
        return self

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_other_kinds(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse text and truth values as numbers, and what is neither True nor False as one."""
        kinds = _kinds_in(cls.model_fields[str(info.field_name)].annotation)
        is_truth = isinstance(value, bool | np.bool_)
        if kinds == {bool} and not is_truth:
            message = f"{shown(value)}; give True or False."
            raise ValueError(message)
        if kinds <= {int, float, types.NoneType}:
            is_large = int in kinds and isinstance(value, int) and abs(value) >= MOST
            if is_truth or is_large or isinstance(value, str):
                message = f"{shown(value)}; give a number{' below 2**31' if is_large else ''}."
                raise ValueError(message)
        return value


def problems(
    error: ValidationError,
    data: Any,
    known: Callable[[Place], Sequence[str]],
    called: str = "field",
) -> Iterator[tuple[Place, str]]:
    """Yield each place that is wrong and a message, the members of a union in one.

    `known` gives the names that a place may have; such a name is `called` a field or a key.
    """
    found: dict[Place, list[str]] = {}
    for detail in error.errors(include_url=False):
        place = _written(detail["loc"], data, detail["type"])
        message = _message(place, detail, known, called)
        if detail["type"] == VALUE:
            place, message = _narrowed(place, message, data)
        messages = found.setdefault(place, [])
        if message not in messages:
            messages.append(message)
    for place, messages in found.items():
        yield place, " Or: ".join(messages)


def keys_at(
    place: Place, root: type[Declared], also: Mapping[type[Declared], Sequence[str]] | None = None
) -> list[str]:
    """Return the names that a place below a model may have: its fields, and `also` some more."""
    model: type[Declared] | None = root
    for part in place:
        if isinstance(part, int) or model is None:
            continue
        known = model.model_fields.get(part)
        model = None if known is None else _model_in(known.annotation)
    return [] if model is None else [*model.model_fields, *(also or {}).get(model, ())]


def _message(
    place: Place, detail: Any, known: Callable[[Place], Sequence[str]], called: str
) -> str:
    if detail["type"] == UNKNOWN:
        return f"no such {called}. {did_you_mean(place[-1], known(place[:-1]))}"
    if detail["type"] == MISSING:
        return "is missing, and has no default."
    if detail["type"] == VALUE:
        return str(detail["ctx"]["error"])
    problem = re.sub(r"a valid dictionary or instance of (\w+)", r"a \1(…)", detail["msg"])
    problem = problem.removeprefix("Input ")
    if detail["type"] == "string_pattern_mismatch":
        problem = PATTERNS.get(str(place[-1]), problem)
    return f"{shown(detail['input'])} {problem}."


def shown(value: Any) -> str:
    """Return a value as a message shows it: a long one by its type."""
    text = repr(value)
    is_short = len(text) <= LONGEST and "\n" not in text
    return text if is_short else f"this {type(value).__name__}"


def _narrowed(place: Place, message: str, data: Any) -> tuple[Place, str]:
    """Move the argument with which an error of ours begins from the message to the place."""
    named, _, rest = message.partition(": ")
    if place and named == place[-1]:  # and the key of a mapping that the message quotes, if any
        quoted = re.match(r"[^{]*?'([^']+)'", rest)
        return _written((*place, quoted[1]) if quoted else place, data, VALUE), rest
    below = (*place, *(int(part) if part.isdigit() else part for part in named.split(".")))
    known = _written(below[: len(place) + 1], data, VALUE)
    return (below, rest) if rest and len(known) > len(place) else (place, message)


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


def _kinds_in(annotation: Any) -> set[Any]:
    """Return the types that an annotation allows: each member of a union."""
    if get_origin(annotation) is Annotated:
        return _kinds_in(get_args(annotation)[0])
    if get_origin(annotation) in {Union, types.UnionType}:
        return {kind for each in get_args(annotation) for kind in _kinds_in(each)}
    return {annotation}


def _model_in(annotation: Any) -> type[Declared] | None:
    """Return the model that an annotation holds: itself, in a list, or optional."""
    if isinstance(annotation, type) and issubclass(annotation, Declared):
        return annotation
    if get_origin(annotation) in {list, Union, types.UnionType, Annotated}:
        inner = (_model_in(argument) for argument in get_args(annotation))
        return next((model for model in inner if model is not None), None)
    return None
