"""Which arguments of `pandas.DataFrame.interpolate` an interpolater takes."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from aiqc_core.errors import PreprocessError

DEFAULTS: Final[dict[str, Any]] = {
    "method": "spline",
    "limit_direction": "both",
    "limit_area": None,
    "axis": 0,
    "order": 1,
}
COMMON = ("method", "limit_direction", "limit_area", "limit", "axis", "order")
ORDERED = ("spline", "polynomial")
TRIAL_POINTS = 16
# How many known points a method needs, and its options beside the common ones, for scipy. Options
# are left out that depend on the data (weights, bounds), are no JSON, or fill with derivatives.
METHODS: Final[dict[str, tuple[int, tuple[str, ...]]]] = {
    "linear": (1, ()),
    "index": (1, ()),
    "values": (1, ()),
    "nearest": (2, ("fill_value",)),
    "zero": (2, ("fill_value",)),
    "slinear": (2, ("fill_value",)),
    "quadratic": (3, ("fill_value",)),
    "cubic": (4, ("fill_value",)),
    "polynomial": (1, ("fill_value",)),  # and `order` more; spline too
    "spline": (1, ("s", "ext")),
    "barycentric": (2, ()),
    "krogh": (1, ()),
    "from_derivatives": (2, ("extrapolate",)),
    "piecewise_polynomial": (2, ("extrapolate",)),
    "pchip": (2, ()),
    "akima": (2, ()),
    "cubicspline": (2, ("bc_type", "extrapolate")),
}


def checked_kwargs(interpolate_kwargs: Any) -> dict[str, Any]:
    """Return arguments for `DataFrame.interpolate`, or the defaults when there are none.

    What is absent is not from `DEFAULTS`, but the default of pandas: `linear`, forward.

    Raises:
        PreprocessError: an unknown method or argument, another axis than 0, a value that JSON
            would change or that pandas refuses.
    """
    if interpolate_kwargs is None:
        return dict(DEFAULTS)
    if not isinstance(interpolate_kwargs, Mapping):
        raise PreprocessError(f"interpolate_kwargs: {interpolate_kwargs!r}; give a dict or None.")
    kwargs = dict(interpolate_kwargs)
    method = kwargs.get("method", "linear")
    if not isinstance(method, str) or method not in METHODS:
        raise PreprocessError(
            f"interpolate_kwargs: method={method!r}; it is one of {list(METHODS)}. Rows lie at "
            "their positions: 'time' and filling by the last value do not apply."
        )
    allowed = (*COMMON, *METHODS[method][1])
    unknown = [name for name in kwargs if name not in allowed]
    if unknown:
        raise PreprocessError(
            f"interpolate_kwargs: {unknown}; method {method!r} takes {list(allowed)}."
        )
    if kwargs.get("axis", 0) not in {0, "index"}:
        raise PreprocessError(
            f"interpolate_kwargs: axis={kwargs['axis']!r}; it is 0: a column is filled along "
            "its rows, never across columns."
        )
    order = kwargs.get("order")
    if method in ORDERED and (type(order) is not int or order < 1):
        raise PreprocessError(
            f"interpolate_kwargs: order={order!r}; method {method!r} needs a whole number of at "
            "least 1, for example order=1."
        )
    _refuse_unstorable(kwargs)
    _try_out(kwargs)
    return kwargs


def least_points(kwargs: Mapping[str, Any]) -> int:
    """Return how many known points the method of checked arguments needs."""
    method = kwargs.get("method", "linear")
    return METHODS[method][0] + (kwargs["order"] if method in ORDERED else 0)


def _refuse_unstorable(kwargs: dict[str, Any]) -> None:
    try:
        same = json.loads(json.dumps(kwargs, allow_nan=False)) == kwargs
    except (TypeError, ValueError):
        same = False
    if not same:
        raise PreprocessError(
            f"interpolate_kwargs: {kwargs}; values are stored as JSON, which keeps text, finite "
            "numbers, True, False, None and lists of them."
        )


def _try_out(kwargs: dict[str, Any]) -> None:
    """Let pandas check the values on a curve that ends where it began, as 'periodic' needs."""
    curve = np.sin(np.linspace(0, 2 * np.pi, TRIAL_POINTS))
    curve[[0, -1]] = 0
    curve[TRIAL_POINTS // 2] = np.nan
    try:
        with warnings.catch_warnings(action="ignore"):
            pd.DataFrame({"curve": curve}).interpolate(**kwargs)
    except Exception as error:
        raise PreprocessError(
            f"interpolate_kwargs: {kwargs}; DataFrame.interpolate refuses it: {error}"
        ) from error
