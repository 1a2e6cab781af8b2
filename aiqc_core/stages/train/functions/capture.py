"""Check functions of users, and store them by value: they run anywhere and years later."""

from __future__ import annotations

import inspect
import platform
import types
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiqc_core.errors import AlgorithmError
from aiqc_core.stages.train.functions.source import show_lines, source_of
from aiqc_core.usercode import byvalue
from aiqc_core.usercode.findings import IN_DOUBT

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

SIGNATURES = {
    "fn_build": ("features_shape", "label_shape", "**hp"),
    "fn_train": (
        "model", "loser", "optimizer", "train_features", "train_label", "eval_features",
        "eval_label", "**hp",
    ),
    "fn_predict": ("model", "features"),
    "fn_lose": ("**hp",),
    "fn_optimize": ("**hp",),
}  # fmt: skip
ROLES = tuple(SIGNATURES)
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
OPEN = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_ALSO = {"fn_optimize": " or, for PyTorch, fn_optimize(model, **hp)"}


class StoredCode(bytes):
    """The bytes of a function, with the version of Python that stored them where it is known."""

    python: str | None = None

    @classmethod
    def of(cls, payload: bytes, python: str | None) -> StoredCode:
        """Note the version beside the bytes."""
        made = cls(payload)
        made.python = python
        return made


@dataclass(frozen=True, slots=True)
class CapturedFunction:
    """A function as bytes, and its source text where that is known."""

    payload: StoredCode
    source: str | None


def capture(role: str, fn: Callable[..., Any]) -> CapturedFunction:
    """Pickle a function by value, with the helpers, constants and import aliases that it uses.

    The function's own module, and modules that are not installed (a file beside a notebook), go
    with it, those too that it imports when it runs; installed packages and `aiqc_core` are
    imported where it runs. More than 10 MB of bytes are warned about, and what may change unseen:
    an object with a state that cannot be read, such as an open file, and code that is found by a
    text, as by `globals()[name]`.

    Raises:
        AlgorithmError: it is no function, has other arguments than its role asks for, uses a name
            that nothing defines (in a helper too), or holds what cannot be stored.
    """
    refuse_no_function(role, fn)
    payload = byvalue.packed(role, fn, AlgorithmError)
    return CapturedFunction(StoredCode.of(payload, platform.python_version()), source_of(fn))


def refuse_no_function(role: str, fn: Any) -> None:
    """Raise AlgorithmError for what is no function, or takes other arguments than its role."""
    if not isinstance(fn, types.FunctionType):
        raise AlgorithmError(
            f"{role}: {fn!r} is a {type(fn).__name__}; give a function made by def or lambda. "
            f"Wrap it: def {_wanted(role)}: …"
        )
    signature = inspect.signature(fn)
    names = [name for name in SIGNATURES[role] if name != "**hp"]
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    wants_hp = len(names) < len(SIGNATURES[role])
    fits = inspect.Parameter.VAR_KEYWORD in kinds or not wants_hp
    try:
        # A parameter beyond those of the role may be a hyperparameter, given by its name.
        (signature.bind_partial if wants_hp else signature.bind)(*names)
    except TypeError:
        fits = False
    if not fits or kinds.count(inspect.Parameter.POSITIONAL_ONLY) > len(names):
        raise AlgorithmError(
            f"{role}: takes {signature}; wanted is {_wanted(role)}{_ALSO.get(role, '')}."
        )


def refuse_unfit(functions: Mapping[str, Any], hyperparameters: Collection[str]) -> None:
    """Raise AlgorithmError for hyperparameters with which no call of the functions can succeed.

    One has no name, or that of an argument that each call gives by position (`model`), or a
    function needs one that is missing. `functions` are by role, None where the default is used.
    """
    if nameless := [name for name in hyperparameters if not name.strip()]:
        raise AlgorithmError(
            f"hyperparameters: {nameless[0]!r} is no name; give each list of values one."
        )
    for role, function in functions.items():
        if not isinstance(function, types.FunctionType) or "**hp" not in SIGNATURES[role]:
            continue
        with_model = role == "fn_optimize" and takes_model_first(function)
        by_position = 1 if with_model else len(SIGNATURES[role]) - 1
        parameters = list(inspect.signature(function).parameters.values())
        filled = [p for p in parameters if p.kind in POSITIONAL][:by_position]
        for name in (p.name for p in filled if p.kind is not p.POSITIONAL_ONLY):
            if name in hyperparameters:
                raise AlgorithmError(
                    f"hyperparameters: {name!r} is an argument of {role} that is given already, "
                    "so each call would fail. Choose another name."
                )
        needed = [p for p in parameters if p.default is p.empty and p.kind not in OPEN]
        for name in (p.name for p in needed if p not in filled):
            if name not in hyperparameters:
                raise AlgorithmError(
                    f"hyperparameters: {role} takes {name!r}, which is not among "
                    f"{sorted(hyperparameters)}. Add it, or give the argument a default."
                )


def restore(payload: bytes, source: str | None = None) -> Callable[..., Any]:
    """Return the function that `capture` stored; warn where it finds code by a text.

    Unpickling runs code: the caller has checked the origin of the bytes. With the captured text
    `source`, tracebacks show the lines of the function.

    Raises:
        AlgorithmError: another version of Python stored it, or it cannot be unpickled.
    """
    stored: str | None = getattr(payload, "python", None)
    lines = [line.strip() for line in (source or "").splitlines()]
    starts = ("def ", "async def ", "lambda")
    first = next((line for line in lines if line.startswith(starts)), None)
    name = f"the stored function {first!r}" if first else "a stored function"
    here = platform.python_version().split(".")
    if stored is not None and stored.split(".")[:2] != here[:2]:
        # Other bytecode may end this process.
        raise AlgorithmError(byvalue.unreadable(name, stored))
    try:
        function = byvalue.restored(payload)
    except Exception as error:
        raise AlgorithmError(byvalue.unreadable(name, stored, error)) from error
    doubts = getattr(function, "__globals__", {}).get(IN_DOUBT)
    if doubts:
        warnings.warn(
            f"{name} finds code by a text, {', '.join(doubts)}: it runs the code that is there "
            "now, which may not be what it was stored with.",
            stacklevel=3,
        )
    if source is not None:
        show_lines(function, source)
    return function


def takes_model_first(fn_optimize: Callable[..., Any]) -> bool:
    """Say whether `fn_optimize` takes the model before its hyperparameters."""
    parameters = inspect.signature(fn_optimize).parameters.values()
    return any(p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD} for p in parameters)


def _wanted(role: str) -> str:
    return f"{role}({', '.join(SIGNATURES[role])})"
