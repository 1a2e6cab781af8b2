"""Find leaks in the samples of a cut, and report them.

Names are checked when the Splitset is made. Values are checked then too if they are small
(`READ_AT_ONCE`) and in the store; else when the samples are cached, which reads them anyway. So
making a Splitset of a large Dataset stays cheap.
"""

from __future__ import annotations

import logging
import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.api import types

from aiqc_core.orm.samples import cache, split_inputs
from aiqc_core.orm.store import order
from aiqc_core.stages.split import answers, leaks, near

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from aiqc_core.orm.tables.feature import Feature
    from aiqc_core.orm.tables.label import Label
    from aiqc_core.orm.tables.splitset import Splitset
    from aiqc_core.stages.split.cut import Cut

    Parts = Mapping[str, Mapping[str, NDArray[np.int64]]]
    Report = dict[str, Any]

logger = logging.getLogger(__name__)

READ_AT_ONCE = 2**23  # values: 64 MB as floats, a fraction of a second
LEAST_ROWS, LEAST_SHARE = 3, 0.01  # of a split, from which repeated rows are warned of
LEAST_ALIKE = 0.05  # share of samples that are nearly equal, or equal under two labels
BEYOND_CHANCE = 10.0  # times as many as independent columns would give
SHOWN = 5
IMAGE_AXES = 4
READ = "values_read"
KINDS = (
    *("label_in_features", "group_in_features", "repeated_rows", "nearly_repeated"),
    *("contradicting", "target_overlap", "order_assumed", "order_contradicted"),
)
SELF = "is the label itself"


def by_name(features: Sequence[Feature], label: Label | None, groups: str | None) -> Report:
    """Return what the names of a cut show; `groups` names its group column."""
    return dict.fromkeys(KINDS) | {
        "group_in_features": [
            {"feature": feature.id, "column": groups}
            for feature in features
            if groups in feature.columns
        ],
        "label_in_features": [
            {"feature": feature.id, "column": name, "how": SELF, "rows": feature.sample_count()}
            for feature in features
            if label is not None and label.dataset.id == feature.dataset.id
            for name in feature.columns
            if name in label.columns
        ],
        "target_overlap": None if label is not None else _overlap(features[0]),
        READ: False,
    }


def of_cut(
    features: Sequence[Feature],
    label: Label | None,
    made: Cut,
    *,
    groups: str | None,
    in_order: bool,
) -> Report:
    """Return the leaks of a new cut; values are read where they are few and in the store."""
    sizes = [
        feature.dataset.shape["samples"]
        * math.prod(list(feature.dataset.shape.values())[1:-1])
        * len(feature.columns)
        for feature in features
    ]
    if sum(sizes) > READ_AT_ONCE or not all(f.dataset.is_ingested for f in features):
        return by_name(features, label, groups)
    parts = split_inputs.parts_of(made)
    return by_content(features, label, parts, {}, groups=groups, in_order=in_order)


def by_content(
    features: Sequence[Feature],
    label: Label | None,
    parts: Parts,
    loaded: dict[int, Any],
    *,
    groups: str | None,
    in_order: bool,
) -> Report:
    """Return the leaks that the names and values of a cut show.

    Args:
        label: None where the features are their own target.
        parts: positions of samples by fold and split; the first split of each is train.
        loaded: values by the id of their Feature, see `cache.values_of`.
        groups: the column that kept samples together; None without one.
        in_order: whether the cut was in order, so that adjacent rows belong together.
    """
    report: Report = {**by_name(features, label, groups), READ: True}
    target = None if label is None else label.to_df()
    windowed = any(feature.recipe().windows is not None for feature in features)
    datasets = [row.dataset for row in [*features, *([label] if label else [])]]
    report["order_contradicted"] = order.against(datasets) if in_order or windowed else {}
    if windowed:
        return report | {"order_assumed": {}}  # windows need the order
    values = [cache.values_of(feature, loaded) for feature in features]
    if target is not None:
        named = {(row["feature"], row["column"]) for row in report["label_in_features"]}
        report["label_in_features"] += [
            {"feature": feature.id, **answer}
            for feature, found in zip(features, values, strict=True)
            for answer in _answers(found, feature, target)
            if (feature.id, answer["column"]) not in named
        ]
    tables = [codes_of(v) if isinstance(v, pd.DataFrame) else v for v in values]
    label_codes = None if target is None else leaks.numbered(target)
    hashes = leaks.sample_hashes(tables)
    report["repeated_rows"] = leaks.repeated_rows([hashes], label_codes, parts)
    sketches = [near.places(tables), *(near.coarse(v) for v in tables if v.ndim == IMAGE_AXES)]
    bits = [leaks.bits_of(sketch).reshape(len(hashes), -1) for sketch in sketches]
    first = next(iter(parts))  # near repeats of one fold are near repeats in the others
    report["nearly_repeated"] = {first: near.count(bits, hashes, label_codes, parts[first])}
    if target is not None:
        report["contradicting"] = leaks.contradicting(hashes, target)
    report["by_chance"] = leaks.coincidence(tables)
    report["order_assumed"] = {} if in_order else _unordered(features, values, label, target)
    return report


def parts_of(splitset: Splitset) -> Parts:
    """Return the splits of each Fold, or of `no_fold`, as they are stored."""
    folds = {f"fold_{fold.idx}": fold.positions() for fold in splitset.ordered_folds}
    return folds or {"no_fold": splitset.positions()}


def now(splitset: Splitset, loaded: dict[int, Any]) -> Report:
    """Return the present leaks of a stored cut."""
    return by_content(
        splitset.features, splitset.label, parts_of(splitset), loaded,
        groups=splitset.groups, in_order=bool(splitset.time_ordered),
    )  # fmt: skip


def findings(report: Report) -> tuple[list[str], list[str], Report]:
    """Return what may be wrong, what is by design (overlapping windows), and numbers by name."""
    overlap, assumed = report["target_overlap"], report["order_assumed"]
    facts = {
        "label in features": report["label_in_features"],
        "group column in features": report.get("group_in_features"),
        "equal to a training sample": [r for r in _rows(report, "repeated_rows") if r["rows"]],
        "nearly a training sample": _near(report),
        "samples with the features of another label": _contradictions(report),
        "rows of each target in its own input": overlap and overlap["rows"],
        "blanks filled by an assumed order": assumed and sum(assumed.values()),
        "rows after one of a later time": report.get("order_contradicted"),
    }
    by_design = [*_of_overlap(overlap)]
    wrong = [message for message in messages(report) if message not in by_design]
    return wrong, by_design, {name: found for name, found in facts.items() if found}


def messages(report: Report) -> list[str]:
    """Return a sentence for each leak of a report."""
    return [
        *_of_answers(report["label_in_features"]),
        *_of_laws(report["label_in_features"]),
        *_of_groups(report.get("group_in_features")),
        *_of_overlap(report["target_overlap"]),
        *_of_repeats(report),
        *_of_near(_near(report)),
        *_of_contradictions(report),
        *order.warnings_of(report),
    ]


def warn(report: Report, earlier: Report | None = None, *, stacklevel: int = 4) -> None:
    """Warn of what a report says and an earlier one did not.

    A law that a column and the label obey, such as a straight line, is only logged: it may be what
    the model is to learn.
    """
    before = [] if earlier is None else messages(earlier)
    laws = [*_of_laws(report["label_in_features"])]
    for message in messages(report):
        if message in before:
            continue
        if message in laws:
            logger.warning("Splitset.make: %s", message)
        else:
            warnings.warn(f"Splitset.make: {message}", stacklevel=stacklevel)


def codes_of(frame: pd.DataFrame) -> NDArray[np.float64]:
    """Return a table as floats, `(samples, columns)`: numbers, or codes of other values."""
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


def leak_report(splitset: Splitset) -> dict[str, Any]:
    """What train has in common with the other splits, and what gives the label away.

    `shared_rows`: for windows, by split (and Fold) how many rows it shares with train and
    their share of it; None without windows. `near_duplicates`: by split how many of its rows
    equal one of train after rounding to 6 digits; None before `cache_samples`, and for data
    that is no table. The others are None until they are checked, see `samples.leaks`.
    """
    kept = {"shared_rows": splitset.shared_rows, "near_duplicates": splitset.near_duplicates}
    return kept | {name: (splitset.given_away or {}).get(name) for name in KINDS}


def _answers(values: Any, feature: Feature, target: pd.DataFrame) -> list[Report]:
    """Find where the label can be read: a column, or a place in each sequence or image."""
    if isinstance(values, pd.DataFrame):
        return [*map(dict, answers.find(values, target))]
    flat = values.reshape(len(values), -1)
    places = answers.places(flat, target)
    is_image = feature.dataset.typ == "image"
    ends = {0: "first row", values.shape[-2] - 1: "last row"}
    found: dict[tuple[str, str, int], list[str]] = {}
    for answer in answers.find(pd.DataFrame(flat[:, places], columns=places), target):
        *channel, row, column = map(int, np.unravel_index(int(answer["column"]), values.shape[1:]))
        name = "pixel" if is_image else feature.columns[column]
        place = f"{(*channel, row, column)}" if is_image else f"({ends.get(row, f'row {row}')})"
        found.setdefault((name, answer["how"], answer["rows"]), []).append(f"{name} {place}")
    return [
        {"column": first + (f" and {len(more)} more" if more else ""), "how": how, "rows": rows}
        for (_, how, rows), (first, *more) in found.items()
    ]


def _overlap(feature: Feature) -> Report | None:
    """Return how many rows a forecast's target shares with its input; None for no forecast."""
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
    """Return how many blanks are filled by an order of rows that is only assumed."""
    tables: list[tuple[Any, Any, Any]] = [
        (feature.dataset, feature.recipe().fills, found)
        for feature, found in zip(features, values, strict=True)
    ]
    if label is not None:
        tables.append((label.dataset, label.fills(), target))
    found: dict[str, int] = {}
    for dataset, fills, table in tables:
        if isinstance(table, pd.DataFrame):
            found |= order.assumed(table, fills, dataset.get_dtypes(), dataset.to_df)
    return found


def _of_answers(found: list[Any]) -> Iterator[str]:
    exact = [row for row in found if row["how"] in (SELF, *answers.CERTAIN)]
    if exact:
        yield (
            f"the label can be read off the features without learning: {_listed(exact)}. Leave "
            "such columns out of the features, unless they are known when the model predicts."
        )


def _of_laws(found: list[Any]) -> Iterator[str]:
    laws = [row for row in found if row["how"] not in (SELF, *answers.CERTAIN)]
    if laws:
        yield (
            f"one column alone determines the label: {_listed(laws)}. If it is made from it, "
            "leave it out of the features."
        )


def _of_groups(found: list[Any] | None) -> Iterator[str]:
    if found:
        yield (
            f"{found[0]['column']!r} keeps groups in one split and is a feature too: a model "
            "learns training groups by name and meets none of them again. Leave it out of the "
            "features."
        )


def _of_overlap(found: Report | None) -> Iterator[str]:
    if not found or not found["rows"]:
        return
    yield (
        f"each target shares {found['rows']} of its {found['size_window']} rows "
        f"({found['share']:.1%}) with its own input, as size_window={found['size_window']} is "
        f"above size_shift={found['size_shift']}: a model that copies is right there. Judge the "
        f"last {found['size_shift']} rows, or give a size_shift of at least size_window."
    )


def _of_repeats(report: Report) -> Iterator[str]:
    places = [
        f"{found['rows']} of {found['split']!r} ({found['share']:.1%}; {found['fold']}"
        + (")" if found["same_label"] is None else f"; {found['same_label']} with its label)")
        for found in _rows(report, "repeated_rows")
        if _is_leaking(found, report)
    ]
    if places:
        yield (
            f"samples equal one that trains: {_some(places, ', ')}. Drop repeated rows before "
            "registering, or keep them in one split with groups."
        )


def _of_near(near_rows: list[Report]) -> Iterator[str]:
    places = [
        f"{found['rows']} of {found['split']!r} ({found['share']:.1%} of {found['of']} looked at; "
        f"{found['fold']})"
        for found in near_rows
    ]
    if places:
        yield (
            f"samples are nearly one that trains: {_some(places, ', ')}. If they are copies, drop "
            "them before registering, or keep them in one split with groups."
        )


def _of_contradictions(report: Report) -> Iterator[str]:
    rows, found = _contradictions(report), report.get("contradicting") or {}
    if rows and found["distinct"] == 1:
        yield f"all {found['of']} samples have equal features: there is nothing to learn from."
    elif rows:
        yield (
            f"{rows} samples ({rows / found['of']:.1%}) have the features of another one and "
            "another label: no model can distinguish them. Look for wrong labels or a feature "
            "that is missing."
        )


def _rows(report: Report, name: str) -> list[Report]:
    """Return what a report says about each split of each fold, a row each."""
    return [
        {"fold": part, "split": split, **found}
        for part, splits in (report.get(name) or {}).items()
        for split, found in splits.items()
    ]


def _is_leaking(found: Any, report: Report) -> bool:
    """Say whether rows are repeated more often than slips or chance explain."""
    known = found["rows"] if found["same_label"] is None else found["same_label"]
    share = found["share"] * known / max(found["rows"], 1)
    by_chance = report["by_chance"] * found["trained"]
    return known >= LEAST_ROWS and share >= max(LEAST_SHARE, BEYOND_CHANCE * by_chance)


def _near(report: Report) -> list[Report]:
    found = _rows(report, "nearly_repeated")
    return [row for row in found if row["rows"] >= LEAST_ROWS and row["share"] >= LEAST_ALIKE]


def _contradictions(report: Report) -> int:
    """Return how many samples have the features of another label, beyond chance."""
    found = report.get("contradicting")
    if not found:
        return 0
    rows, of = found["rows"], found["of"]
    least = max(LEAST_ALIKE, BEYOND_CHANCE * report["by_chance"] * of)
    return rows if found["distinct"] == 1 or rows >= max(LEAST_ROWS, least * of) else 0


def _listed(found: list[Any]) -> str:
    return _some([f"{row['column']!r} {row['how']} ({row['rows']} rows)" for row in found], "; ")


def _some(texts: Sequence[str], between: str) -> str:
    more = f"{between}and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return between.join(texts[:SHOWN]) + more
