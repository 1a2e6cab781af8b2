"""Derived seeds: stable, distinct, in range."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aiqc_core.seeds import SEED_BITS, derive


@given(st.integers(0, 2**31 - 1), st.lists(st.integers(0, 9)))
def test_a_seed_fits_every_generator(parent: int, parts: list[int]) -> None:
    assert 0 <= derive(parent, *parts) < 2**SEED_BITS
    assert derive(parent, *parts) == derive(parent, *parts)


def test_seeds_differ_by_parent_and_by_part() -> None:
    seeds = {derive(parent, "fold", i) for parent in range(20) for i in range(20)}
    assert len(seeds) == 400


def test_a_seed_never_moves() -> None:
    """Stored results depend on it."""
    assert derive(7, "f0_1a2b3c4d", 0) == 2073424396
