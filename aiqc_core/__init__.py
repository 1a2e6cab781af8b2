"""AIQC: declarative machine learning over a metastore, with or without Dagster."""

from __future__ import annotations

__version__ = "0.1.0"

__all__ = ["__version__"]
