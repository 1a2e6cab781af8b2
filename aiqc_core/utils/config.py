"""The reference's `utils.config`: the time that rows carry."""

from __future__ import annotations

from aiqc_core.config import timezone_now

__all__ = ["timezone_now"]
