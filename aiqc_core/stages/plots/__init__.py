"""Figures, a file each: `data(…)` gives plain lists, `figure(found, about)` draws them.

Nothing here reads a row, trains or computes a metric; `aiqc_core.orm.results.figures` brings the
values. The same arguments mean the same in every file:

- `plot_data`: `{split: result of evaluate.curves.plot_data}`.
- `classes`: the names of the classes, by their code.
- the first argument of `figure`: what `data` returned.
- `about`: the subtitle, which names the model or the data; at most 110 characters are shown.
- `unit`: of the values on an axis.
- `height`: in pixels.
- `shown`: the split that a figure with a menu shows first; the last by default.
"""
