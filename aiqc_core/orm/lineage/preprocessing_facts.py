"""Describe the preprocessing of a Splitset by plain values that compare and hold no ids."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.orm.lineage.facts import parts_of
from aiqc_core.usercode import byvalue
from aiqc_core.usercode.identity import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiqc_core.orm.samples.cache import Fitted
    from aiqc_core.orm.tables.splitset import Splitset
    from aiqc_core.stages.preprocess.encode import FittedEncoder

SHOWN_VALUES = 32  # a longer array that an encoder learned is shown by its range


def interpolaters_of(splitset: Splitset) -> dict[str, list[dict[str, Any]]]:
    """Return `{part: [interpolater, …]}` of the Features and the Label, in order."""
    return _described(
        splitset,
        "interpolaters",
        lambda row: {
            "columns": row.matching_columns,
            "kwargs": row.interpolate_kwargs,
            "process_separately": bool(row.process_separately),
        },
    )


def coders_of(splitset: Splitset) -> dict[str, list[dict[str, Any]]]:
    """Return `{part: [coder, …]}` of the Features and the Label, in order."""
    return _described(splitset, "coders", _coder)


def windows_of(splitset: Splitset) -> dict[str, Any]:
    """Return `{part: window}` of the Features that have one."""
    return {
        f"feature {i}": {
            "size_window": row.size_window,
            "size_shift": row.size_shift,
            "record_shifted": bool(row.record_shifted),
            "windows": row.window_count,
        }
        for i, feature in enumerate(splitset.features)
        for row in feature.windows
    }


def shapes_of(splitset: Splitset) -> dict[str, str]:
    """Return `{part: reshape indices}` of the Features that are reshaped."""
    return {
        f"feature {i}": repr(row.reshape_indices)
        for i, feature in enumerate(splitset.features)
        for row in feature.featureshapers
    }


def learned_by(fitted: Fitted) -> dict[str, list[dict[str, Any]]]:
    """Return `{part: [what each fitted encoder learned, …]}`."""
    parts = {f"feature {i}": fit.encoders for i, fit in enumerate(fitted.features)}
    if fitted.label is not None and fitted.label.encoder is not None:
        parts["label"] = (fitted.label.encoder,)
    return {part: [_learned(each) for each in encoders] for part, encoders in parts.items()}


def _described(
    splitset: Splitset, kind: str, describe: Callable[[Any], dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for part, row in parts_of(splitset).items():
        is_label = part == "label"
        rows = getattr(row, f"label{kind}") if is_label else getattr(row, f"ordered_{kind}")()
        found |= {part: list(map(describe, rows))} if list(rows) else {}
    return found


def _coder(row: Any) -> dict[str, Any]:
    encoder = row.sklearn_preprocess
    name = type(encoder).__name__
    if byvalue.is_own(type(encoder)):
        name += f" {fingerprint(type(encoder))[:12]}"
    return {
        "encoder": name,
        "parameters": {name: _plain(value) for name, value in encoder.get_params().items()},
        "columns": row.matching_columns,
        "dimension": row.encoding_dimension,
        "fitted_on": "training rows" if row.only_fit_train else "all rows",
    }


def _plain(value: Any) -> Any:
    """Return a parameter as a value that compares and can be shown; a callable by its digest."""
    if isinstance(value, float) and math.isnan(value):
        return "nan"  # which equals itself
    if value is None or isinstance(value, bool | int | float | str):
        return value
    shown = repr(value)
    if byvalue.is_own(value) or " at 0x" in shown:  # an address differs between processes
        name = getattr(value, "__name__", type(value).__name__)
        return f"{name} {fingerprint(value)[:12]}"
    return shown


def _learned(fit: FittedEncoder) -> dict[str, Any]:
    states = [
        {n: summary(v) for n, v in vars(each).items() if n.endswith("_") and n[0] != "_"}
        for each in fit.encoders
    ]
    return {
        "encoder": type(fit.encoders[0]).__name__,
        "columns": list(fit.columns),
        "output_columns": list(fit.output_columns),
        "learned": states[0] if len(states) == 1 else states,
    }


def summary(value: Any) -> Any:
    """Return few values as they are, and many by their shape and range."""
    if isinstance(value, list | tuple) and any(isinstance(v, np.ndarray) for v in value):
        return [summary(each) for each in value]
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):  # a list of unlike lengths
        return repr(value)
    if array.dtype.kind not in "biufOUST" or (array.dtype.kind == "O" and array.ndim == 0):
        return value if value is None else repr(value)
    if array.size <= SHOWN_VALUES:
        return array.tolist()
    about: dict[str, Any] = {"shape": list(array.shape)}
    if array.dtype.kind in "biuf":
        about |= {"smallest": array.min().item(), "largest": array.max().item()}
    return about
