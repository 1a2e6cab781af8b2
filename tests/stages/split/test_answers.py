"""Columns that give the label away are found, whatever they look like, and no others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from aiqc_core.stages.split import answers, leaks

ROWS = 200
RNG = np.random.default_rng(3)
KIND = pd.Series(RNG.choice(["a", "b", "c"], ROWS))
CODE = KIND.map({"a": 0, "b": 1, "c": 2})
PRICE = pd.Series(RNG.normal(500, 100, ROWS))
DRAW = RNG.integers(0, 9, ROWS)


def ways(label: pd.Series, column: Any) -> list[str]:
    """Return how a column gives a label away, beside one of noise that does not."""
    table = pd.DataFrame({"noise": RNG.normal(size=ROWS), "column": column})
    found = answers.find(table, label.to_frame("y"))
    assert all(answer["column"] == "column" for answer in found), found
    return [answer["how"] for answer in found]


@pytest.mark.parametrize(
    "column",
    [
        KIND, KIND.astype("category"), KIND.str.upper(), CODE, CODE * 2.5 - 1, -CODE,
        CODE.astype(str), KIND == "a", (KIND != "b").astype(int), KIND.replace("c", "b"),
        KIND.where(DRAW > 1), KIND + DRAW.astype(str).astype(object), CODE * 10 + DRAW,
        pd.Series(DRAW, dtype=float).where(KIND != "a"), pd.Series([[k] for k in KIND]),
    ],
    ids=lambda c: str(c.tolist()[:2]),
)  # fmt: skip
def test_a_recoding_a_part_or_a_code_of_a_class_is_found(column: pd.Series) -> None:
    assert ways(KIND, column)
    shuffled = column.sample(frac=1, random_state=1).reset_index(drop=True)
    assert not ways(KIND, shuffled), "the same values in another order say nothing"


@pytest.mark.parametrize(
    "column",
    [
        PRICE, PRICE.astype("float32"), PRICE.astype(str), -PRICE, 3 * PRICE + 1, np.log(PRICE),
        PRICE.rank(), PRICE.round(-1), pd.qcut(PRICE, 4, labels=False), PRICE > 450,
        PRICE.where(DRAW > 1), (PRICE * 1000).astype(int),
        pd.to_datetime((PRICE * 1e9).astype("int64")),
    ],
    ids=lambda c: str(c.tolist()[:1]),
)  # fmt: skip
def test_a_function_of_a_continuous_label_that_keeps_its_order_is_found(column: pd.Series) -> None:
    assert ways(PRICE, column)
    shuffled = column.sample(frac=1, random_state=1).reset_index(drop=True)
    assert not ways(PRICE, shuffled)


@pytest.mark.parametrize(
    ("label", "column"),
    [
        (KIND, np.arange(ROWS)),  # an id
        (KIND, [f"patient {i}" for i in range(ROWS)]),
        (KIND, CODE + RNG.uniform(-0.4, 0.4, ROWS)),  # a measurement that thresholds part
        (KIND, (CODE * 10 + RNG.uniform(-4, 4, ROWS)).round(1)),  # and is rounded
        (KIND, KIND.where(RNG.random(ROWS) > 0.02, "a")),  # nearly the label is not the label
        (KIND, np.zeros(ROWS)),
        (KIND, KIND.where(np.arange(ROWS) < 30)),  # in too few rows to be the answer
        (PRICE, PRICE + RNG.normal(0, 1, ROWS)),
        (pd.Series(np.arange(ROWS) ** 2.0), np.arange(ROWS)),  # both follow the time
    ],
)
def test_what_has_to_be_learned_is_sound(label: pd.Series, column: Any) -> None:
    assert ways(label, column) == []


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "diabetes", "digits"])
def test_known_tables_give_nothing_away(name: str) -> None:
    loaded = getattr(datasets, f"load_{name}")(as_frame=True)
    assert answers.find(loaded.data, loaded.target.to_frame()) == []


def test_a_one_hot_label_is_one_label() -> None:
    one_hot = pd.get_dummies(KIND, dtype=int)
    table = pd.DataFrame({"x": PRICE, "kind": KIND, "is_b": one_hot["b"]})
    assert [answer["column"] for answer in answers.find(table, one_hot)] == ["kind", "is_b"]


def test_few_rows_may_agree_by_chance() -> None:
    few = pd.DataFrame({"y": [0, 1, 0, 1, 1, 0]})
    assert answers.find(few.rename(columns={"y": "x"}), few) == []


def test_many_rows_are_looked_at_in_a_sample_and_what_is_left_in_all() -> None:
    rows = 3 * answers.MOST_ROWS
    label = pd.Series(np.arange(rows) % 2)
    nearly = label.copy()
    nearly.iloc[1] = 0  # not in the sample of each third row
    table = pd.DataFrame({"copy": label, "nearly": nearly, "noise": RNG.normal(size=rows)})
    found = answers.find(table, label.to_frame("y"))
    assert found == [{"column": "copy", "how": "is the label in other values", "rows": rows}]


def test_repeated_samples_are_counted_with_and_without_their_label() -> None:
    values = RNG.normal(size=(30, 4)).round(2)
    values[20:26] = values[:6]
    labels = RNG.integers(0, 2, 30)
    images = np.repeat(values, 9, axis=1).reshape(30, 4, 3, 3)
    cut = {"train": np.arange(20), "test": np.arange(20, 30)}
    train = {tuple(row) for row in values[:20]}
    labelled = {(*row, y) for row, y in zip(values[:20], labels[:20], strict=True)}
    pairs = list(zip(values[20:], labels[20:], strict=True))
    expected = {
        "rows": sum(tuple(row) in train for row, _ in pairs),
        "share": 0.6,
        "same_label": sum((*row, y) in labelled for row, y in pairs),
        "trained": 20,
    }
    for tables in ([values], [images], [values[:, :2], images]):
        found = leaks.repeated_rows(tables, labels, {"no_fold": cut})
        assert found == {"no_fold": {"test": expected}}
    apart = [values, np.arange(30.0)[:, None]]  # equal in one Feature is not equal in both
    assert leaks.repeated_rows(apart, None, {"f": cut})["f"]["test"]["rows"] == 0


def test_columns_with_few_values_are_equal_by_chance() -> None:
    coins = RNG.integers(0, 2, size=(400, 3))
    equal = sum(
        (coins == np.roll(coins, shift, axis=0)).all(axis=1).sum() for shift in range(1, 400)
    )
    assert leaks.coincidence([coins]) == pytest.approx(equal / (400 * 399), rel=0.05)
    assert leaks.coincidence([coins, RNG.normal(size=(400, 1))]) == 0.0
