"""Permutation importance against models whose answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aiqc_core.stages.evaluate.importance import permutation_importance


def squared_error(weights: Any, label: Any) -> Any:
    """Return the loss of a linear model over one or two features."""

    def loss(features: list[Any]) -> float:
        total = sum(f.reshape(len(f), -1) @ w for f, w in zip(features, weights, strict=True))
        return float(np.mean((total - label) ** 2))

    return loss


def test_importance_is_the_growth_of_the_loss_and_positive_matters() -> None:
    """For a perfect linear model, the mean of (w (x[order] - x))² over rows."""
    x = np.random.default_rng(0).normal(size=(400, 3))
    weights = np.array([2.0, 0.5, 0.0])
    found = permutation_importance(
        [x], [{"a": (0,), "b": (1,), "c": (2,)}], squared_error([weights], x @ weights),
        permute_count=5, seed=1,
    )[0]  # fmt: skip
    assert list(found) == ["a", "b", "c"]
    for name, weight in zip("abc", weights, strict=True):
        impacts = found[name]["loss_impacts"]
        assert len(impacts) == 5
        assert found[name]["median"] == np.median(impacts)
        # E (w (x' - x))² = 2 w² var(x)
        assert found[name]["median"] == pytest.approx(2 * weight**2, rel=0.3, abs=1e-12)
    assert len(set(found["a"]["loss_impacts"])) == 5


def test_the_encoded_columns_of_a_column_move_together() -> None:
    """Two one-hot columns: moved alone, rows with two or no ones would appear."""
    one_hot = np.eye(2)[np.random.default_rng(0).integers(0, 2, 50)]
    rows: list[Any] = []

    def loss(features: list[Any]) -> float:
        rows.append(features[0].sum(axis=1))
        return 0.0

    permutation_importance([one_hot], [{"a": (0, 1)}], loss, permute_count=3, seed=1)
    assert len(rows) == 4
    assert all((row == 1).all() for row in rows)


def test_a_series_moves_whole_between_samples() -> None:
    """Each series of a sequence (samples, steps, columns) stays in one piece."""
    series = np.arange(6)[:, None, None] * 10 + np.arange(4)[None, :, None] + np.zeros((1, 1, 2))
    seen: list[Any] = []

    def loss(features: list[Any]) -> float:
        seen.append(features[0].copy())
        return 0.0

    permutation_importance([series], [{"a": (1,)}], loss, permute_count=1, seed=3)
    moved = seen[1]
    assert np.array_equal(moved[..., 0], series[..., 0])
    assert sorted(moved[:, 0, 1]) == sorted(series[:, 0, 1])
    assert (np.diff(moved[..., 1], axis=1) == 1).all()
    assert not np.array_equal(moved, series)


def test_features_are_permuted_alone_skipped_and_never_changed() -> None:
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=(60, 1)) for _ in range(3)]
    for array in arrays:
        array.setflags(write=False)
    weights = [np.array([1.0])] * 3
    found = permutation_importance(
        arrays, [{"a": (0,)}, None, {"c": (0,)}], squared_error(weights, sum(arrays)[:, 0]),
        permute_count=2, seed=1,
    )  # fmt: skip
    assert sorted(found) == [0, 2]
    assert found[0]["a"]["median"] > 0


def test_a_seed_gives_the_same_numbers_whatever_the_other_columns() -> None:
    x = np.random.default_rng(0).normal(size=(30, 2))
    loss = squared_error([np.array([1.0, 1.0])], x.sum(axis=1))
    both = permutation_importance([x], [{"a": (0,), "b": (1,)}], loss, permute_count=3, seed=1)
    alone = permutation_importance([x], [{"b": (1,)}], loss, permute_count=3, seed=1)
    other = permutation_importance([x], [{"b": (1,)}], loss, permute_count=3, seed=2)
    assert both[0]["b"] == alone[0]["b"]
    assert other[0]["b"] != alone[0]["b"]
