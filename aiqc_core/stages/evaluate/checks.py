"""Verdicts on data: leaks, missing classes, values that are no numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pandas.api import types

from aiqc_core.stages.preprocess.values import row_blocks
from aiqc_core.stages.split import leaks, stratify

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

    from aiqc_core.stages.evaluate.leakage import Comparison
    from aiqc_core.stages.preprocess.values import Array, Splits
    from aiqc_core.stages.preprocess.window import Windows

    Rows = list[dict[str, Any]]

PASSED, WARNING, FAILED = "passed", "warning", "failed"
ORDER = (PASSED, WARNING, FAILED)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: the verdict, a sentence, and counts, short texts or tables by name.

    The verdict is `'warning'` for what may be wanted, `'failed'` for what cannot be right.
    """

    verdict: Literal["passed", "warning", "failed"]
    summary: str
    facts: dict[str, Any] = field(default_factory=dict[str, Any])


def joined(*findings: Finding) -> Finding:
    """Return findings as one, with the worst verdict first."""
    ranked = sorted(findings, key=lambda finding: -ORDER.index(finding.verdict))
    facts = {name: value for finding in findings for name, value in finding.facts.items()}
    return Finding(ranked[0].verdict, " ".join(f.summary for f in ranked if f.summary), facts)


def rows_apart(parts: Mapping[str, Splits], windows: Windows | None) -> Finding:
    """Find samples that are in two splits of a fold, and rows that the windows of train share."""
    twice: Rows = [
        {"fold": part, "splits": f"{a}, {b}", "samples": len(both)}
        for part, splits in parts.items()
        for a, b in combinations(splits, 2)
        if len(both := np.intersect1d(splits[a], splits[b]))
    ]
    if twice:
        count = sum(row["samples"] for row in twice)
        return Finding(FAILED, f"{count} samples are in two splits.", {"in two splits": twice})
    if windows is None:
        return Finding(PASSED, "No sample is in two splits.", {"shared_rows": 0})
    shared: Rows = [
        {"fold": part, "split": split, "rows": found["rows"], "share of train": found["share"]}
        for part, splits in parts.items()
        for split, found in leaks.shared_rows(windows, splits).items()
    ]
    most = max(shared, key=lambda row: row["rows"], default=None)
    if most is None or not most["rows"]:
        return Finding(PASSED, "The windows of train share no row.", {"shared_rows": 0})
    summary = (
        f"The windows of train share {most['rows']} rows ({most['share of train']:.1%} of its own)"
        f" with {most['split']!r} ({most['fold']}); cut with time_ordered and a gap of at least "
        f"{leaks.least_gap(windows)}."
    )
    return Finding(WARNING, summary, {"shared_rows": most["rows"], "shared rows": shared})


def given_away(
    warned: Sequence[str], by_design: Sequence[str], facts: Mapping[str, Any]
) -> Finding:
    """Judge what the samples give away of what is to be predicted.

    `warned` are sentences on what may be wrong, `by_design` on what was declared so.
    """
    summary = " ".join(s[0].upper() + s[1:] for s in (*warned, *by_design))
    return Finding(WARNING if warned else PASSED, summary, dict(facts))


def fits_apart(comparisons: Sequence[Comparison]) -> Finding:
    """Judge whether stored fits and samples follow from the training rows alone."""
    differences = [row for found in comparisons for row in found.differences]
    facts: dict[str, Any] = {
        "fits made again": sum(found.encoders for found in comparisons),
        "differences": len(differences),
        "see all rows, being categorical": _listed(n for c in comparisons for n in c.on_all_rows),
    }
    if differences:
        facts["what differs"] = differences
    if any(found.differences and not found.declared for found in comparisons):
        first = differences[0]
        summary = (
            f"{len(differences)} stored results do not follow from the training rows alone; "
            f"the first: {first['what']} of {first['of']}."
        )
        return Finding(FAILED, summary, facts)
    if differences:
        summary = (
            "Training values were interpolated beside rows of other splits, as "
            "process_separately=False asks."
        )
        return Finding(WARNING, summary, facts)
    return Finding(PASSED, "All that was fitted follows from the training rows alone.", facts)


def every_class(label: pd.DataFrame, parts: Mapping[str, Splits]) -> Finding:
    """Find classes without a sample in a split of a fold; several label columns are one-hot."""
    values = label.to_numpy() if len(label.columns) > 1 else label.iloc[:, 0].to_numpy()
    if values.ndim == 1 and types.is_float_dtype(label.dtypes.iloc[0]):
        return Finding(PASSED, "The label is continuous: there are no classes.", {"classes": 0})
    strata = stratify.strata(values, names=list(map(str, label.columns)))
    counts: Rows = [
        {"fold": part, "split": split}
        | {name: int((strata.codes[rows] == i).sum()) for i, name in enumerate(strata.names)}
        for part, splits in parts.items()
        for split, rows in splits.items()
    ]
    absent: Rows = [
        {"fold": part, "split": split, "class": name}
        for part, splits in parts.items()
        for split, name in stratify.absent(strata, splits)
    ]
    facts: dict[str, Any] = {"classes": len(strata.names), "samples by class": counts}
    if not absent:
        return Finding(PASSED, "Every class is in every split.", facts)
    first = absent[0]
    summary = (
        f"{len(absent)} times a split has no sample of a class; the first: {first['class']!r} in "
        f"{first['split']!r} ({first['fold']}). Its metrics for that class are NaN."
    )
    return Finding(WARNING, summary, facts | {"absent": absent})


def no_nan(arrays: Iterable[tuple[str, Array]]) -> Finding:
    """Count values that are not finite, block by block."""
    counts: Rows = []
    for name, array in arrays:
        nan = infinite = 0
        for rows in row_blocks(array) if array.dtype.kind == "f" else ():
            nan += int(np.isnan(array[rows]).sum())
            infinite += int(np.isinf(array[rows]).sum())
        row = {"array": name, "values": int(array.size), "NaN": nan, "infinite": infinite}
        counts.append(row)
    found = [row for row in counts if row["NaN"] or row["infinite"]]
    facts = {"values": sum(row["values"] for row in counts), "NaN": sum(r["NaN"] for r in counts)}
    if not found:
        return Finding(PASSED, "Every value is a finite number.", facts)
    summary = (
        f"{facts['NaN']} values are NaN and {sum(row['infinite'] for row in found)} infinite, in "
        f"{_listed(row['array'] for row in found)}."
    )
    return Finding(FAILED, summary, facts | {"not finite": found})


def unchanged(name: str, registered: str, found: str) -> Finding:
    """Compare the hash of a registration with that of the present content."""
    facts = {f"sha256 at registration of {name}": registered, f"sha256 now of {name}": found}
    if found == registered:
        return Finding(PASSED, f"{name} is what was registered.", facts)
    then, now = f"{registered[:12]}…", f"{found[:12]}…"
    summary = f"{name} was registered with SHA-256 {then}, its content now has {now}."
    return Finding(FAILED, summary, facts)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
