"""Where the parts of the checkout are."""

from __future__ import annotations

from pathlib import Path

SUPPORT = Path(__file__).parent
LOCATIONS = SUPPORT / "locations"  # code locations that tests hand to Dagster
TESTS = SUPPORT.parent
ROOT = TESTS.parent
STORES = TESTS / "orm" / "tables" / "stores"  # stores of earlier versions
