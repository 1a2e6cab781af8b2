"""What every test of the code location stands on."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest
from dagster_internals import set_defs_state_storage

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def no_instance_of_another_test() -> Iterator[None]:
    """Forget the instances of a test: contexts built by hand leave theirs as the current one.

    Loading definitions would ask an instance that is gone. What was left is collected first, for
    it would make itself the current one again when it is.
    """
    gc.collect()
    with set_defs_state_storage(None):
        yield
