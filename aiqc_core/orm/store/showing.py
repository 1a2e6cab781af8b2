"""Print a row: its id and name, what it is made of, and its progress.

Only columns and counts are shown; no bytes are read or unpickled. A deleted row, or one of a store
that is gone, prints too.
"""

from __future__ import annotations

from html import escape
from itertools import islice
from typing import Any

from peewee import ModelSelect, PeeweeException

from aiqc_core.errors import AIQCError, MetastoreError
from aiqc_core.orm.store.database import is_there

LETTERS = 60  # of one fact; the rest is cut
ROWS = 10  # of a list
SHOWN = {
    "Dataset": ("version", "typ", "shape", "source_format", "is_ingested"),
    "Feature": ("dataset", "columns"),
    "Label": ("dataset", "columns", "unique_classes"),
    "LabelCoder": ("label", "matching_columns"),
    "FeatureCoder": ("feature", "idx", "matching_columns"),
    "LabelInterpolater": ("label", "matching_columns"),
    "FeatureInterpolater": ("feature", "idx", "matching_columns"),
    "FeatureShaper": ("feature",),
    "Window": ("feature", "size_window", "size_shift"),
    "Splitset": ("version", "label", "sizes", "fold_count", "predictor"),
    "Fold": ("splitset", "idx"),
    "Algorithm": ("library", "analysis_type"),
    "Hyperparamset": ("algorithm", "hyperparameters", "search", "search_count"),
    "Hyperparamcombo": ("hyperparamset", "idx", "hyperparameters"),
    "Queue": ("algorithm", "splitset", "hyperparamset", "repeat_count", "runs_completed",
              "total_runs", "metric"),
    "Job": ("queue", "fold", "hyperparamcombo", "repeat_count"),
    "Attempt": ("job", "repeat_index", "status", "reason"),
    "Predictor": ("job", "repeat_index", "is_diverged", "stopped", "adopted_from"),
    "Prediction": ("predictor", "splitset", "permute_count"),
    "Champion": ("experiment", "snapshot", "predictor"),
    "Snapshot": ("experiment", "key", "rows"),
    "Declared": ("experiment", "stage", "row_id"),
}  # fmt: skip
NEXT = {
    "Dataset": "Feature.from_dataset({id}), Label.from_dataset({id})",
    "Splitset": "Queue.from_algorithm(algorithm_id, {id})",
    "Algorithm": "Hyperparamset.from_algorithm({id}, {{…}})",
    "Queue": "run_jobs(), metrics_df(), plot_performance()",
    "Predictor": "predict(rows), get_model()",
    "Prediction": "metrics, plot_confusion_matrix()",
}


def facts(row: Any) -> dict[str, Any]:
    """Return what is shown of a row, by name, without what is unknown."""
    found: dict[str, Any] = {"id": row.__data__.get("id")}
    if row.__data__.get("name"):
        found["name"] = row.__data__["name"]
    for name in SHOWN.get(type(row).__name__, ()):
        if name in row._meta.fields:
            value = row.__data__.get(name)
        else:  # a property counts in the store, which may be gone
            try:
                value = getattr(row, name) if is_there() else None
            except (AIQCError, PeeweeException):
                value = None
        if value is not None:
            found[name] = value
    return found


def line(row: Any) -> str:
    """Return a row in one line, such as `Queue(id=3, algorithm=1, …)`."""
    shown = ", ".join(f"{name}={_short(value)}" for name, value in facts(row).items())
    return f"{type(row).__name__}({shown})"


def card(row: Any) -> str:
    """Return a row as a small table for a notebook."""
    cells = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(_short(value))}</td></tr>"
        for name, value in facts(row).items()
    )
    then = NEXT.get(type(row).__name__, "").format(id=row.__data__.get("id"))
    foot = f"<tr><th>next</th><td><code>{escape(then)}</code></td></tr>" if then else ""
    return f"<table><caption>{type(row).__name__}</caption>{cells}{foot}</table>"


class Rows(ModelSelect):
    """A query that prints its first rows."""

    def __repr__(self) -> str:
        if not is_there():
            return f"no {self.model.__name__}"
        try:
            found = list(islice(self.clone().limit(ROWS + 1).iterator(), ROWS + 1))
        except (AIQCError, PeeweeException) as error:
            return f"{self.model.__name__}: {error}"
        lines = [*map(repr, found[:ROWS]), *(["…"] if len(found) > ROWS else [])]
        return "\n".join(lines) or f"no {self.model.__name__}"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>"

    def convert_dict_to_node(self, qdict: dict[str, Any]) -> Any:
        """Read the columns in calls of `filter` and `get`; MetastoreError for unknown ones."""
        try:
            return super().convert_dict_to_node(qdict)
        except AttributeError as error:
            names = ", ".join(self.model._meta.sorted_field_names)
            raise MetastoreError(f"{self.model.__name__}: {error}; there are {names}.") from error


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LETTERS else f"{text[: LETTERS - 1]}…"
