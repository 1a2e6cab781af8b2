"""Fits and training samples made again from the training rows alone, held against what is stored.

Nothing that was stored is trusted: every row outside of train is overwritten by a training row
before anything is filled or fitted, so that what is made again cannot know the others. Encoders of
categories see all rows, as the reference says; they are made again from all rows.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from aiqc_core.stages.preprocess import samples
from aiqc_core.stages.preprocess.encoders import is_categorical

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from aiqc_core.stages.preprocess.encode import FittedEncoder

    Splits = Mapping[str, NDArray[np.int64]]

RELATIVE = 1e-7  # far below what one row more changes, far above the noise of computing
NOISE = 1e-12  # of the largest training value: a mean of 0 is seldom exactly 0
BLOCK_VALUES = 2**22
SHOWN_VALUES = 3
ABSENT = "nothing"


@dataclass(frozen=True, slots=True)
class Stored:
    """What a store holds of one feature, or of a label, for one cut.

    Attributes:
        name: what a finding calls it.
        values: all rows of its columns: a DataFrame, or an array `(rows, …, columns)`.
        recipe: what was declared to be done to it.
        encoders: the fitted encoders, in order.
        arrays: cached samples of the training split, each with whether its windows are shifted.
    """

    name: str
    values: Any
    recipe: samples.FeatureRecipe
    encoders: tuple[FittedEncoder, ...]
    arrays: tuple[tuple[bool, NDArray[Any]], ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """How what is stored differs from what the training rows alone give.

    Attributes:
        encoders: how many fits were made again.
        differences: `{"of", "what", "stored", "training rows alone give"}` each.
        declared: whether interpolation over all rows, which was declared, makes them all.
        on_all_rows: encoders of categories, which see all rows.
    """

    encoders: int
    differences: list[dict[str, str]]
    declared: bool
    on_all_rows: list[str]


def compare(stored: Stored, splits: Splits) -> Comparison:
    """Make fits and training samples again, and compare.

    Args:
        stored: what the store holds.
        splits: positions of samples a split; the first is the one that trains.
    """
    recipe = _only_categories_on_all(stored.recipe)
    steps = recipe.plan.steps
    train = dict([next(iter(splits.items()))])
    alone = samples.prepare(_without_others(stored.values, recipe, train), recipe, train)
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


def _only_categories_on_all(recipe: samples.FeatureRecipe) -> samples.FeatureRecipe:
    """Return a recipe whose encoders see what they may see, whatever was noted of them."""
    steps = tuple(
        replace(step, fit_on_all=is_categorical(step.encoder)) for step in recipe.plan.steps
    )
    return replace(recipe, plan=replace(recipe.plan, steps=steps))


def _without_others(values: Any, recipe: samples.FeatureRecipe, train: Splits) -> Any:
    """Return values whose rows outside of train are copies of a training row."""
    (positions,) = train.values()
    rows = positions if recipe.windows is None else recipe.windows.rows(positions)
    source = np.full(len(values), rows[0])
    source[rows] = rows
    if isinstance(values, pd.DataFrame):
        return values.iloc[source].reset_index(drop=True)
    return values[source]


def _differences(stored: Stored, again: samples.Prepared) -> Iterator[dict[str, str]]:
    split = next(iter(again.splits))
    noise = NOISE * _largest(again.filled[split])
    for i, (mine, other) in enumerate(zip(stored.encoders, again.fitted.encoders, strict=True)):
        for name, (a, b) in _unequal(mine.encoders, other.encoders, noise).items():
            yield _difference(_named(stored, i), name, _short(a), _short(b))
    for shifted, array in stored.arrays:
        found = again.samples(split, shifted=shifted)
        if found.shape != array.shape:
            shapes = (str(array.shape), str(found.shape))
            yield _difference(stored.name, "shape of the training samples", *shapes)
        elif count := _count_unequal(array, found):
            shares = (f"{count} of {array.size} values", "others")
            yield _difference(stored.name, "training samples", *shares)


def _difference(of: str, what: str, stored: str, alone: str) -> dict[str, str]:
    return {"of": of, "what": what, "stored": stored, "training rows alone give": alone}


def _named(stored: Stored, i: int) -> str:
    encoder = stored.encoders[i]
    return f"{stored.name}: {type(encoder.encoders[0]).__name__}({', '.join(encoder.columns)})"


def _largest(part: Any) -> float:
    is_frame = isinstance(part, pd.DataFrame)
    numbers = part.select_dtypes("number").to_numpy(float) if is_frame else part
    return float(np.nanmax(np.abs(numbers))) if np.size(numbers) else 0.0


def _unequal(
    stored: Sequence[Any], again: Sequence[Any], noise: float
) -> dict[str, tuple[Any, Any]]:
    """Return what two rows of fitted encoders learned differently, by name."""
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
    """Compare what encoders hold: numbers, arrays, and what is made of them."""
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
    """Return numbers as an array, and the parts of what has parts by name."""
    if hasattr(value, "toarray"):  # sparse
        return value.toarray()
    if isinstance(value, int | float | np.number):
        return np.asarray(value)
    if isinstance(value, list | tuple):
        return dict(enumerate(value))
    has_parts = hasattr(value, "__dict__") and not inspect.isroutine(value)
    return vars(value) if has_parts and not inspect.isclass(value) else value


def _same_numbers(a: NDArray[Any], b: NDArray[Any], noise: float) -> bool:
    if a.shape != b.shape:
        return False
    if a.dtype.kind == "O":
        pairs: Any = zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)
        return all(x is y or _same(x, y, noise) for x, y in pairs)
    if a.dtype.kind == "f" or b.dtype.kind == "f":
        return bool(np.allclose(a, b, rtol=RELATIVE, atol=noise, equal_nan=True))
    return bool(np.array_equal(a, b))


def _count_unequal(a: NDArray[Any], b: NDArray[Any]) -> int:
    step = max(BLOCK_VALUES // max(a[:1].size, 1), 1)
    count = 0
    for start in range(0, len(a), step):
        one, other = a[start : start + step], b[start : start + step]
        noise = NOISE * float(np.nanmax(np.abs(other), initial=0.0))
        count += int((~np.isclose(one, other, rtol=RELATIVE, atol=noise, equal_nan=True)).sum())
    return count


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        shown = ", ".join(_short(v) for v in value.ravel()[:SHOWN_VALUES].tolist())
        return shown + (", …" if value.size > SHOWN_VALUES else "")
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    return text if len(text) <= 60 else f"{text[:60]}…"  # noqa: PLR2004 - a cell of a table
