"""What the samples of a cut give away: rows loaded, one call to a stage, told and reported.

What names alone say is told when the Splitset is made. The values are looked at then too where
they are small (`READ_AT_ONCE`) and in the store; else when the samples are cached, which reads
them anyway, so that making a Splitset of a large Dataset stays cheap.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.api import types

from aiqc_core.orm import sampling
from aiqc_core.split import answers, leaks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from aiqc_core.orm.dataset import Dataset
    from aiqc_core.orm.feature import Feature
    from aiqc_core.orm.label import Label

    Parts = Mapping[str, Mapping[str, NDArray[np.int64]]]
    Report = dict[str, Any]

READ_AT_ONCE = 2**23  # values: 64 MB as floats, a fraction of a second
LEAST_ROWS, LEAST_SHARE = 3, 0.01  # of a split, from which repeated rows are told
BEYOND_CHANCE = 10.0  # times as many as columns that know nothing of each other would give
SHOWN = 5
SELF = "is the label itself"


def by_name(features: Sequence[Feature], label: Label | None) -> Report:
    """Return what is known of a cut before any value is read."""
    return {
        "label_in_features": [
            {"feature": feature.id, "column": name, "how": SELF, "rows": feature.sample_count()}
            for feature in features
            if label is not None and label.dataset.id == feature.dataset.id
            for name in feature.columns
            if name in label.columns
        ],
        "target_overlap": None if label is not None else _overlap(features[0]),
        "repeated_rows": None,
        "order_assumed": None,
    }


def is_cheap(features: Sequence[Feature]) -> bool:
    """Say whether the values of Features are few and near enough to be read at once."""
    sizes = [
        feature.dataset.shape["samples"]
        * math.prod(list(feature.dataset.shape.values())[1:-1])
        * len(feature.columns)
        for feature in features
    ]
    return sum(sizes) <= READ_AT_ONCE and all(f.dataset.is_ingested for f in features)


def by_content(
    features: Sequence[Feature],
    label: Label | None,
    parts: Parts,
    loaded: dict[int, Any],
    *,
    in_order: bool,
) -> Report:
    """Return what the values of a cut give away.

    Args:
        features: what is learned from.
        label: what is learned; None for the features themselves.
        parts: by fold the positions of samples a split; the first split of each is train.
        loaded: values by the id of their Feature, see `sampling.values_of`.
        in_order: whether the cut was in order, so that rows beside each other belong together.
    """
    report = by_name(features, label)
    target = None if label is None else label.to_df()
    if any(feature.recipe().windows is not None for feature in features):
        return report | {"order_assumed": {}}
    values = [sampling.values_of(feature, loaded) for feature in features]
    if target is not None:
        named = {(row["feature"], row["column"]) for row in report["label_in_features"]}
        report["label_in_features"] += [
            {"feature": feature.id, **answer}
            for feature, found in zip(features, values, strict=True)
            for answer in answers.find(_columns_of(found, feature), target)
            if (feature.id, answer["column"]) not in named
        ]
    tables = [codes_of(v) if isinstance(v, pd.DataFrame) else v for v in values]
    label_codes = None if target is None else leaks.numbered(target)
    report["repeated_rows"] = leaks.repeated_rows(tables, label_codes, parts)
    report["by_chance"] = leaks.coincidence(tables)
    report["order_assumed"] = {} if in_order else _unordered(features, values, label, target)
    return report


def messages(report: Report) -> list[str]:
    """Return a sentence for each thing of a report that a person has to know."""
    found = [_of_answers(report["label_in_features"]), _of_overlap(report["target_overlap"])]
    found += _of_repeats(report)
    found.append(_of_order(report["order_assumed"] or {}))
    return [message for message in found if message]


def warn(report: Report, told: Report | None = None, *, stacklevel: int = 4) -> None:
    """Warn of what a report says and an earlier one did not."""
    before = [] if told is None else messages(told)
    for message in messages(report):
        if message not in before:
            warnings.warn(f"Splitset.make: {message}", stacklevel=stacklevel)


def codes_of(frame: pd.DataFrame) -> NDArray[np.float64]:
    """Return a table as floats, `(samples, columns)`: numbers, or the number of what is none."""
    dtypes = set(frame.dtypes)
    if len(dtypes) == 1 and isinstance(dtype := dtypes.pop(), np.dtype) and dtype.kind in "biuf":
        return frame.to_numpy(dtype=float)
    columns = [
        column.to_numpy(dtype=float, na_value=float("nan"))
        if types.is_numeric_dtype(column.dtype)
        else pd.factorize(column)[0].astype(float)
        for _, column in frame.items()
    ]
    return np.column_stack(columns)


def blanks_of(frame: pd.DataFrame, columns: Iterable[str]) -> dict[str, int]:
    """Return how many blanks each of some columns has, of those that have any."""
    counts = {name: int(frame[name].isna().sum()) for name in columns}
    return {name: count for name, count in counts.items() if count}


def is_in_time(dataset: Dataset) -> bool:
    """Say whether a table has a column of times that never goes back, so that its order is real."""
    if dataset.typ != "tabular":
        return False
    times = [name for name, kind in dataset.get_dtypes().items() if kind.startswith("datetime64")]
    frame = dataset.to_df(times) if times else pd.DataFrame()
    return any(frame[name].is_monotonic_increasing for name in times)


def _columns_of(values: Any, feature: Feature) -> pd.DataFrame:
    """Return what to look for the label in: of a sequence, the first and last row of each sample.

    Images have no columns of meaning.
    """
    if isinstance(values, pd.DataFrame):
        return values
    if feature.dataset.typ != "sequence":
        return pd.DataFrame(index=range(len(values)))
    ends = {"first": values[:, 0, :], "last": values[:, -1, :]}
    return pd.DataFrame(
        {
            f"{name} ({which} row)": rows[:, i]
            for which, rows in ends.items()
            for i, name in enumerate(feature.columns)
        }
    )


def _overlap(feature: Feature) -> Report | None:
    """Return how many rows of a forecast's target lie in its own input; None for no forecast."""
    windows = feature.recipe().windows
    if windows is None or not windows.record_shifted:
        return None
    return {
        "rows": windows.overlap,
        "share": windows.overlap / windows.size_window,
        "size_window": windows.size_window,
        "size_shift": windows.size_shift,
        "windows": windows.count,
    }


def _unordered(
    features: Sequence[Feature], values: Sequence[Any], label: Label | None, target: Any
) -> dict[str, int]:
    """Return how many blanks are filled by the order of rows that nothing says are in order."""
    found: dict[str, int] = {}
    sources = [(feature, feature.recipe().fills, v) for feature, v in zip(features, values, strict=True)]
    if label is not None:
        sources.append((label, label.fills(), target))
    for row, fills, table in sources:
        if isinstance(table, pd.DataFrame) and fills:
            blanks = blanks_of(table, [name for fill in fills for name in fill.columns])
            if blanks and not is_in_time(row.dataset):
                found |= blanks
    return found


def _of_answers(found: list[Any]) -> str | None:
    if not found:
        return None
    shown = "; ".join(f"{row['column']!r} {row['how']} ({row['rows']} rows)" for row in found[:SHOWN])
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return (
        f"the label can be read off the features without learning: {shown}{more}. Leave such "
        "columns out of the features, unless they are known when the model predicts."
    )


def _of_overlap(found: Report | None) -> str | None:
    if not found or not found["rows"]:
        return None
    return (
        f"each target shares {found['rows']} of its {found['size_window']} rows "
        f"({found['share']:.1%}) with its own input, as size_window={found['size_window']} is "
        f"above size_shift={found['size_shift']}: a model that copies is right there. Judge the "
        f"last {found['size_shift']} rows, or give a size_shift of at least size_window."
    )


def _of_repeats(report: Report) -> list[str]:
    told: list[str] = []
    for part, splits in (report["repeated_rows"] or {}).items():
        for split, found in splits.items():
            if is_leaking(found, report):
                same = found["same_label"]
                labelled = "" if same is None else f", {same} of them with the same label"
                told.append(
                    f"{found['rows']} samples of {split!r} ({found['share']:.1%}; {part}) equal "
                    f"one that trains{labelled}. Drop repeated rows before registering, or keep "
                    "them together with groups."
                )
    return told


def is_leaking(found: Any, report: Report) -> bool:
    """Say whether rows are repeated more often than a few slips, or their columns, explain."""
    known = found["rows"] if found["same_label"] is None else found["same_label"]
    share = found["share"] * known / max(found["rows"], 1)
    by_chance = report["by_chance"] * found["trained"]
    return known >= LEAST_ROWS and share >= max(LEAST_SHARE, BEYOND_CHANCE * by_chance)


def _of_order(found: Mapping[str, int]) -> str | None:
    if not found:
        return None
    shown = ", ".join(f"{name!r} ({count})" for name, count in found.items())
    return (
        f"blanks of {shown} are filled from the rows beside them, and nothing says that the rows "
        "are in order. Where they are, say time_ordered=True or register a column of times that "
        "rises; else fill them before registering."
    )
