"""New samples for a trained Predictor: matched to what it was trained on, by name."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from pandas.api import types

from aiqc_core.errors import SelectionError, SplitError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiqc_core.orm.feature import Feature
    from aiqc_core.orm.label import Label
    from aiqc_core.orm.splitset import Splitset

logger = logging.getLogger(__name__)


def refuse_cut(asked: Mapping[str, Any]) -> None:
    """Refuse to cut samples that are only to be predicted.

    Raises:
        SplitError: naming the arguments.
    """
    given = sorted(name for name, value in asked.items() if value)
    if given:
        message = (
            f"predictor_id: with it all samples are predicted and none is cut; leave out {given}."
        )
        raise SplitError(message)


def match(trained: Splitset, features: Sequence[Feature], label: Label | None) -> None:
    """Check that Features give what a Predictor was trained on.

    Columns are matched by name: another order is fine, and what the Predictor does not know is
    left out, which the log says.

    Raises:
        SelectionError: another number of Features, or all that is missing or incompatible.
    """
    known = trained.features
    if len(known) != len(features):
        message = f"feature_ids: {len(features)} Features; the Predictor takes {len(known)}."
        raise SelectionError(message)
    for new, old in zip(features, known, strict=True):
        faults = [*_axis_faults(new, old), *_column_faults(new.get_dtypes(), old.get_dtypes())]
        if faults:
            message = (
                f"feature_ids: Feature {new.id} is not what the Predictor was trained on (Feature "
                f"{old.id}): {'; '.join(faults)}."
            )
            raise SelectionError(message)
        extra = [name for name in new.columns if name not in old.columns]
        if extra:
            logger.info("Feature %d: columns %s are unknown to the Predictor.", new.id, extra)
    if label is not None and (trained.label is None or label.columns != trained.label.columns):
        wanted = None if trained.label is None else trained.label.columns
        message = f"label_id: its columns are {label.columns}; the Predictor's label is {wanted}."
        raise SelectionError(message)


def _axis_faults(new: Feature, old: Feature) -> list[str]:
    faults: list[str] = []
    if new.dataset.typ != old.dataset.typ:
        return [f"it is {new.dataset.typ}, not {old.dataset.typ}"]
    sizes = [[row.size_window for row in feature.windows] for feature in (new, old)]
    if sizes[0] != sizes[1]:
        faults.append(f"its window is {sizes[0] or None}, not {sizes[1] or None}")
    for axis in ("channels", "rows"):
        found, wanted = new.dataset.shape.get(axis), old.dataset.shape.get(axis)
        if found != wanted:
            faults.append(f"it has {found} {axis}, not {wanted}")
    return faults


def _column_faults(new: dict[str, str], old: dict[str, str]) -> list[str]:
    missing = [name for name in old if name not in new]
    other = {
        name: f"{new[name]}, not {dtype}"
        for name, dtype in old.items()
        if name in new and _is_number(new[name]) != _is_number(dtype)
    }
    faults = [f"columns {missing} are missing"] if missing else []
    return [*faults, f"dtypes differ: {other}"] if other else faults


def _is_number(dtype: str) -> bool:
    parsed = types.pandas_dtype(dtype)
    return types.is_numeric_dtype(parsed) or types.is_bool_dtype(parsed)
