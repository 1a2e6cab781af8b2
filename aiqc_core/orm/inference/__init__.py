"""Stored models applied to new samples."""

from __future__ import annotations

from aiqc_core.orm.inference.infer import UNSEEN

__all__ = ["UNSEEN"]
