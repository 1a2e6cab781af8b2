"""Methods and properties of a row whose functions stand in modules above the tables."""

from __future__ import annotations

import functools
import inspect
import pkgutil
from collections.abc import Callable
from types import MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from aiqc_core import counts

if TYPE_CHECKING:
    from aiqc_core.orm.store.model import BaseModel

Row = TypeVar("Row")
P = ParamSpec("P")
R = TypeVar("R")
Function = TypeVar("Function", bound=Callable[..., Any])


class LazyModule:
    """A module that is imported when a function of it is first used.

    >>> LazyModule("math").sqrt
    'math:sqrt'
    """

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> str:
        if name.startswith("__"):
            raise AttributeError(name)
        return f"{self._module}:{name}"


class Descriptor(Generic[Function]):
    """A function that a class of rows shows: the function itself, or its `"module:function"`."""

    def __init__(self, body: Function | str) -> None:
        self.place = body

    @functools.cached_property
    def body(self) -> Function:
        """The function, with the signature and the docstring that users see."""
        place: Any = self.place
        found: Any = pkgutil.resolve_name(place) if isinstance(place, str) else place
        checked: Any = counts.as_annotated(found)
        return checked


class operation(Descriptor[Callable[Concatenate[Row, P], R]], Generic[Row, P, R]):  # noqa: N801 - as `@property`
    """A method that is called on a row, or on its class with the row's id first.

    `queue.run_jobs()` and `Queue.run_jobs(7)` run the same function. It stands in the class, as
    `@operation`, or in the module that does the work, which imports the tables.
    """

    @functools.cached_property
    def _on_row(self) -> Callable[..., R]:
        @functools.wraps(self.body)
        def on_row(row: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
            row.refuse_absent()
            return self.body(row, *args, **kwargs)

        return on_row

    @overload
    def __get__(self, row: None, table: type[BaseModel]) -> Callable[Concatenate[int, P], R]: ...
    @overload
    def __get__(self, row: BaseModel, table: type[BaseModel]) -> Callable[P, R]: ...
    def __get__(self, row: BaseModel | None, table: type[BaseModel]) -> Callable[..., R]:
        if row is not None:
            return MethodType(self._on_row, row)

        @functools.wraps(self.body)
        def by_id(id: int, *args: P.args, **kwargs: P.kwargs) -> R:  # noqa: A002 - the reference's
            row: Any = table.get_by_id(id)
            return self.body(row, *args, **kwargs)

        _, *rest = inspect.signature(self.body).parameters.values()
        first = inspect.Parameter("id", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation="int")
        by_id.__signature__ = inspect.Signature([first, *rest])  # type: ignore[attr-defined]
        return by_id


class maker(Descriptor[Callable[P, R]], Generic[P, R]):  # noqa: N801 - see `operation`
    """A function called on a class, such as `Queue.from_algorithm`."""

    def __get__(self, row: BaseModel | None, table: type[BaseModel]) -> Callable[P, R]:
        return self.body


class derived(Descriptor[Callable[[Row], R]], Generic[Row, R]):  # noqa: N801 - see `operation`
    """A property of a row."""

    @overload
    def __get__(self, row: None, table: type[BaseModel]) -> Self: ...
    @overload
    def __get__(self, row: BaseModel, table: type[BaseModel]) -> R: ...
    def __get__(self, row: Any, table: type[BaseModel]) -> Self | R:
        return self if row is None else self.body(row)
