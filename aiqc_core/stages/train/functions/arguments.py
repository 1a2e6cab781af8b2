"""Check that hyperparameters fit the arguments of the functions that take them."""

from __future__ import annotations

import inspect
import types
from typing import TYPE_CHECKING, Any

from aiqc_core.errors import AlgorithmError
from aiqc_core.stages.train.functions.capture import SIGNATURES, takes_model_first

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
OPEN = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


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
