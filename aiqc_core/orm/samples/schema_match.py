"""Check that new data matches what trained a Predictor: by name, kind, window and size."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pandas.api import types

from aiqc_core.errors import SelectionError, SplitError
from aiqc_core.orm.samples.new_data import Offer, of_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiqc_core.orm.tables.feature import Feature
    from aiqc_core.orm.tables.label import Label
    from aiqc_core.orm.tables.splitset import Splitset
    from aiqc_core.stages.preprocess.window import Windows

logger = logging.getLogger(__name__)


def match(
    trained: Splitset,
    features: Sequence[Offer],
    label: Offer | None,
    *,
    arguments: tuple[str, str] = ("feature_ids", "label_id"),
) -> None:
    """Check that data matches the Splitset that trained a Predictor.

    Columns match by name in any order; unknown ones are left out, which the log says. Messages
    call features and label by `arguments`.

    Raises:
        SelectionError: another number of features, or all that is missing or incompatible.
        SplitError: features and label have different numbers of samples.
    """
    known = trained.features
    if len(known) != len(features):
        message = f"{arguments[0]}: {len(features)} Features; the Predictor takes {len(known)}."
        raise SelectionError(message)
    for new, old in zip(features, known, strict=True):
        _refuse_other_feature(new, old, arguments[0])
    if label is not None:
        _refuse_other_label(label, trained.label, arguments[1])
    counts = {offer.called: offer.count for offer in [*features, *([label] if label else [])]}
    if len(set(counts.values())) > 1:
        message = f"{' and '.join(arguments)}: their samples do not pair: {counts}."
        raise SplitError(message)


def _refuse_other_feature(new: Offer, old: Feature, argument: str) -> None:
    faults = [*_axis_faults(new, old), *_column_faults(new.dtypes, old.get_dtypes())]
    if faults:
        message = (
            f"{argument}: {new.called} is not what the Predictor was trained on (Feature "
            f"{old.id}): {'; '.join(faults)}."
        )
        raise SelectionError(message)
    extra = [name for name in new.dtypes if name not in old.columns]
    if extra:
        logger.info(
            "%s: columns %s are unknown to the Predictor, and left out.", new.called, extra
        )


def _refuse_other_label(label: Offer, old: Label | None, argument: str) -> None:
    columns = list(label.dtypes)
    if old is None or sorted(columns) != sorted(old.columns):
        wanted = None if old is None else old.columns
        message = f"{argument}: its columns are {columns}; the Predictor's label is {wanted}."
        raise SelectionError(message)
    faults = _column_faults(label.dtypes, old.get_dtypes())
    if faults:
        message = f"{argument}: {label.called} is no such label: {'; '.join(faults)}."
        raise SelectionError(message)


def _axis_faults(new: Offer, old: Feature) -> list[str]:
    if new.typ != old.dataset.typ:
        return [f"it is {new.typ}, not {old.dataset.typ}"]
    faults = _window_faults(new.windows, of_row(old).windows)
    for axis in ("channels", "rows"):
        found, wanted = new.shape.get(axis), old.dataset.shape.get(axis)
        if found != wanted:
            faults.append(f"it has {found} {axis}, not {wanted}")
    return faults


def _window_faults(new: Windows | None, old: Windows | None) -> list[str]:
    sizes = [[] if windows is None else [windows.size_window] for windows in (new, old)]
    if sizes[0] != sizes[1]:
        return [f"its window is {sizes[0] or None}, not {sizes[1] or None}"]
    if new is None or old is None or not (new.record_shifted and old.record_shifted):
        return []  # windows without targets may come in any step
    shifts = new.size_shift, old.size_shift
    return [] if shifts[0] == shifts[1] else [f"its window shifts by {shifts[0]}, not {shifts[1]}"]


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
