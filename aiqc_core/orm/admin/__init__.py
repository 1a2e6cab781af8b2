"""Care for a store: check, back up, restore, move, collect garbage."""

from __future__ import annotations

from aiqc_core.orm.admin.gc import collect

__all__ = ["collect"]
