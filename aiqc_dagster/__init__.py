"""AIQC on Dagster: what schedules the work of `aiqc_core`."""
