"""A digest of what a function does, see `aiqc_core.usercode.identity`."""

from __future__ import annotations

from aiqc_core.usercode.identity import fingerprint

__all__ = ["fingerprint"]
