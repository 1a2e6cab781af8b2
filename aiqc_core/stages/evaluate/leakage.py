"""Repeat fits and training samples from the training rows alone, and compare with the stored ones.

Every row outside of train is overwritten by a training row before anything is filled or fitted, so
that no other row can have an effect. Encoders of categories see all rows, as in the reference.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from aiqc_core.stages.preprocess import samples
from aiqc_core.stages.preprocess.encoders import is_categorical
from aiqc_core.stages.preprocess.values import row_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aiqc_core.stages.preprocess.encode import FittedEncoder
    from aiqc_core.stages.preprocess.values import Array, Splits

RELATIVE = 1e-7  # far below the effect of one more row, far above rounding
NOISE = 1e-12  # of the largest training value: a mean of 0 is seldom exactly 0
SHOWN_VALUES = 3
ABSENT = "nothing"


@dataclass(frozen=True, slots=True)
class Stored:
    """The stored fit of one feature, or of a label, for one cut."""

    name: str  # what a finding calls it
    values: Any  # all rows of its columns: a DataFrame, or an array `(rows, …, columns)`
    recipe: samples.FeatureRecipe
    encoders: tuple[FittedEncoder, ...]
    arrays: tuple[tuple[bool, Array], ...] = ()  # training samples, and if they are shifted


@dataclass(frozen=True, slots=True)
class Comparison:
    """How stored results differ from those of the training rows alone."""

    encoders: int  # how many fits were repeated
    differences: list[dict[str, str]]  # of, what, stored, training rows alone give
    declared: bool  # whether declared interpolation over all rows explains them all
    on_all_rows: list[str]  # encoders of categories, which see all rows


def compare(stored: Stored, splits: Splits) -> Comparison:
    """Repeat fits and training samples, and compare."""
    declared = stored.recipe.plan
    steps = tuple(replace(s, fit_on_all=is_categorical(s.encoder)) for s in declared.steps)
    recipe = replace(stored.recipe, plan=replace(declared, steps=steps))
    train = dict([next(iter(splits.items()))])
    values, (rows,) = stored.values, samples.rows_under(train, recipe.windows).values()
    source = np.full(len(values), rows[0])  # a training row in place of each other row
    source[rows] = rows
    if isinstance(values, pd.DataFrame):
        values = values.iloc[source].reset_index(drop=True)
    else:
        values = values[source]
    alone = samples.prepare(values, recipe, train)
    together = any(not fill.process_separately for fill in recipe.fills)
    whole = alone
    if together or any(step.fit_on_all for step in steps):
        whole = samples.prepare(stored.values, recipe, splits)
    encoders = tuple(
        (whole if step.fit_on_all else alone).fitted.encoders[i] for i, step in enumerate(steps)
    )
    again = replace(alone, fitted=replace(alone.fitted, encoders=encoders))
    differences = list(_differences(stored, again))
    return Comparison(
        encoders=len(steps),
        differences=differences,
        declared=bool(differences) and together and not any(_differences(stored, whole)),
        on_all_rows=[_named(stored, i) for i, step in enumerate(steps) if step.fit_on_all],
    )


def _differences(stored: Stored, again: samples.Prepared) -> Iterator[dict[str, str]]:
    split = next(iter(again.splits))
    part = again.filled[split]
    is_frame = isinstance(part, pd.DataFrame)
    numbers = part.select_dtypes("number").to_numpy(float) if is_frame else part
    noise = NOISE * (float(np.nanmax(np.abs(numbers))) if np.size(numbers) else 0.0)
    for i, (mine, other) in enumerate(zip(stored.encoders, again.fitted.encoders, strict=True)):
        for name, (a, b) in _unequal(mine.encoders, other.encoders, noise).items():
            yield _difference(_named(stored, i), name, _short(a), _short(b))
    for shifted, array in stored.arrays:
        found = again.samples(split, shifted=shifted)
        if found.shape != array.shape:
            shapes = (str(array.shape), str(found.shape))
            yield _difference(stored.name, "shape of the training samples", *shapes)
            continue
        count = 0
        for rows in row_blocks(array):
            one, other = array[rows], found[rows]
            near = NOISE * float(np.nanmax(np.abs(other), initial=0.0))
            same = np.isclose(one, other, rtol=RELATIVE, atol=near, equal_nan=True)
            count += int((~same).sum())
        if count:
            shares = (f"{count} of {array.size} values", "others")
            yield _difference(stored.name, "training samples", *shares)


def _difference(of: str, what: str, stored: str, alone: str) -> dict[str, str]:
    return {"of": of, "what": what, "stored": stored, "training rows alone give": alone}


def _named(stored: Stored, i: int) -> str:
    encoder = stored.encoders[i]
    return f"{stored.name}: {type(encoder.encoders[0]).__name__}({', '.join(encoder.columns)})"


def _unequal(
    stored: Sequence[Any], again: Sequence[Any], noise: float
) -> dict[str, tuple[Any, Any]]:
    """Return the attributes in which fitted encoders differ, by name."""
    if [type(e) for e in stored] != [type(e) for e in again]:
        return {"class": (stored, again)}
    found: dict[str, tuple[Any, Any]] = {}
    for mine, other in zip(stored, again, strict=True):
        a, b = _learned(mine), _learned(other)
        for name in sorted(a.keys() | b.keys()):
            pair = (a.get(name, ABSENT), b.get(name, ABSENT))
            if not _same(*pair, noise):
                found.setdefault(name, pair)
    return found


def _learned(encoder: Any) -> dict[str, Any]:
    return {n: v for n, v in vars(encoder).items() if n.endswith("_") or n.startswith("_")}


def _same(a: Any, b: Any, noise: float) -> bool:
    """Compare attributes of encoders: numbers, arrays, and objects made of them."""
    if a is b:
        return True
    mine, other = _opened(a), _opened(b)
    if isinstance(mine, np.ndarray) and isinstance(other, np.ndarray):
        return _same_numbers(mine, other, noise)
    if type(a) is not type(b):
        return False
    if isinstance(mine, dict):
        return mine.keys() == other.keys() and all(_same(mine[k], other[k], noise) for k in mine)
    return bool(a == b)


def _opened(value: Any) -> Any:
    """Return numbers as an array, and the parts of a compound by name."""
    if hasattr(value, "toarray"):  # sparse
        return value.toarray()
    if isinstance(value, int | float | np.number):
        return np.asarray(value)
    if isinstance(value, list | tuple):
        return dict(enumerate(value))
    has_parts = hasattr(value, "__dict__") and not inspect.isroutine(value)
    return vars(value) if has_parts and not inspect.isclass(value) else value


def _same_numbers(a: Array, b: Array, noise: float) -> bool:
    if a.shape != b.shape:
        return False
    if a.dtype.kind == "O":
        pairs: Any = zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)
        return all(x is y or _same(x, y, noise) for x, y in pairs)
    if a.dtype.kind == "f" or b.dtype.kind == "f":
        return bool(np.allclose(a, b, rtol=RELATIVE, atol=noise, equal_nan=True))
    return bool(np.array_equal(a, b))


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        shown = ", ".join(_short(v) for v in value.ravel()[:SHOWN_VALUES].tolist())
        return shown + (", …" if value.size > SHOWN_VALUES else "")
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    return text if len(text) <= 60 else f"{text[:60]}…"  # noqa: PLR2004 - a cell of a table
