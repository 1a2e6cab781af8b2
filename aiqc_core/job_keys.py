"""Keys of Jobs and of their parts, the same in rows, cells of Dagster, tags and logs."""

from __future__ import annotations

NO_FOLD, NO_COMBINATION = "nofold", "default"


def fold_key(index: int | None) -> str:
    """Return the key of a Fold by its index: `f0`; `nofold` for None."""
    return NO_FOLD if index is None else f"f{index}"


def fold_index(key: str) -> int | None:
    """Return the index of a Fold by its key; None for `nofold`."""
    return None if key == NO_FOLD else int(key[1:])


def job_key(fold: str, combination: str) -> str:
    """Return the key of a Job from those of its Fold and its combination: `f0_1a2b3c4d`."""
    return f"{fold}_{combination}"
