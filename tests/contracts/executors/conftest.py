"""A place for the runs of a module, and Celery's servers and workers for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from executor_contract import Place
from services_celery import Farm, farming

from aiqc_core.config import use_home

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = Place(tmp_path_factory.mktemp("place"))
    with use_home(place.folder / "aiqc"):
        yield place


@pytest.fixture(scope="module")
def farm(place: Place) -> Iterator[Farm]:
    with farming(place.folder, place.environment()) as farm:
        yield farm
