"""Figures, one file each: `data(...)` gives plain lists, `figure(data)` draws them with plotly.

Nothing here reads a row, trains or computes a metric; `aiqc_core.orm.results.figures` brings
the values.
"""
