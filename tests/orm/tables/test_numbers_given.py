"""Every number that a public method takes: what is none is refused by the argument's name."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import small_classes
import small_experiment
from sklearn.preprocessing import LabelBinarizer, OrdinalEncoder

from aiqc_core.errors import AIQCError
from aiqc_core.orm import (
    Algorithm,
    Dataset,
    Feature,
    Hyperparamset,
    Label,
    LabelCoder,
    Queue,
    Splitset,
    Window,
    metastore,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BAD: list[Any] = ["3", 2.5, True, float("nan"), float("inf"), -1, [1], {}, 1j, np.nan]
CUT = {"size_test": 0.2, "size_validation": 0.2, "seed": 1}


def store() -> None:
    """Fill the store with a Queue that is not trained."""
    frame = pd.DataFrame({"a": np.arange(40.0), "b": np.arange(40) % 2, "c": np.arange(40.0)})
    dataset = Dataset.Tabular.from_df(frame)
    Feature.from_dataset(dataset.id, ["a"])
    label = Label.from_dataset(dataset.id, ["b"])
    LabelCoder.from_label(label.id, LabelBinarizer())
    Label.from_dataset(dataset.id, ["c"])
    Feature.from_dataset(dataset.id, ["a", "c"])
    Splitset.make([1], 1, **CUT)
    Algorithm.make(
        "pytorch", "classification_binary", small_experiment.fn_build, small_experiment.fn_train
    )
    Queue.from_algorithm(1, 1)


def cut(**given: Any) -> Splitset:
    return Splitset.make([1], given.pop("label", 1), **(CUT | given))


def queue(**given: Any) -> Queue:
    return Queue.from_algorithm(1, 1, **given)


def combos(**given: Any) -> Hyperparamset:
    return Hyperparamset.from_algorithm(1, {"epochs": [1, 2, 3, 4]}, **given)


CALLS: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "size_test": (cut, []),
    "size_validation": (cut, []),
    "fold_count": (cut, [0, 1]),
    "bin_count": (lambda **g: cut(label=2, **g), [0, 1]),
    "seed": (cut, []),
    "gap": (lambda **g: cut(time_ordered=True, **g), [None]),
    "repeat_count": (queue, [None, 0]),
    "permute_count": (queue, [None]),
    "queue seed": (queue, []),
    "search_count": (combos, [0]),
    "search_percent": (combos, [0, 2.0]),
    "combos seed": (lambda **g: combos(search_count=2, **g), []),
    "size_window": (lambda **g: Window.from_feature(2, **({"size_shift": 1} | g)), [None, 0]),
    "size_shift": (lambda **g: Window.from_feature(2, **({"size_window": 3} | g)), [None, 0]),
    "workers": (lambda **g: Queue.run_jobs(1, progress=False, **g), [0]),
    "time_limit": (lambda **g: Queue.run_jobs(1, progress=False, **g), [0]),
    "checkpoint_seconds": (lambda **g: Queue.run_jobs(1, progress=False, **g), []),
    "samples": (lambda **g: Dataset.to_df(1, **g), [[None], ["0"], [1.5], [40], [True]]),
    "row": (lambda **g: Dataset.seen(1, **g), [None, 40]),
}
TAKEN = {  # values of the list that have a meaning for an argument
    "size_test": [], "samples": [[1]], "time_limit": [2.5], "checkpoint_seconds": [2.5],
    "search_percent": [],
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_what_is_no_such_number_is_refused_by_name_and_nothing_is_written(
    home: Path, name: str
) -> None:
    store()
    call, more = CALLS[name]
    argument = name.rsplit(maxsplit=1)[-1]
    before = list(metastore.connection().iterdump())
    for value in (*BAD, *more):
        if value in TAKEN.get(name, []):
            continue
        with pytest.raises(AIQCError, match=argument):
            call(**{argument: value})
    assert list(metastore.connection().iterdump()) == before


def test_numbers_of_numpy_are_numbers(home: Path) -> None:
    store()
    made = cut(fold_count=np.int64(2), size_test=np.float32(0.25), seed=np.int64(3))
    assert (made.fold_count, made.seed, len(made.ordered_folds)) == (2, 3, 2)
    assert queue(repeat_count=np.int32(2), permute_count=np.int8(0), seed=np.int64(5)).seed == 5
    assert combos(search_count=np.int64(2)).hyperparamcombos.count() == 2
    assert len(Dataset.to_df(1, samples=[np.int64(1)])) == 1
    assert queue(repeat_count=np.array(2)).repeat_count == 2


WRONG: list[Any] = ["2", [2], {}, float("nan"), np.array([2.0])]
OF_ROWS: dict[str, tuple[str, str, list[Any]]] = {  # row, method, wrong values beside the others
    "level": ("queue", "compare_best", [None, True, 0, 1, 2.0]),
    "sort_by": ("queue", "metrics_df", [2]),
    "ascending": ("queue", "metrics_df", [None, "no", 1]),
    "selected_metrics": ("queue", "metrics_df", [2, -1]),
    "selected_stats": ("queue", "metricsAggregate_df", [2, np.int64(2)]),
    "max_loss": ("queue", "plot_performance", [True]),
    "min_score": ("queue", "plot_performance", [True]),
    "height": ("queue", "plot_performance", [0, -1, 10**30, float("inf")]),
    "score_type": ("queue", "plot_performance", [0]),
    "tolerance": ("trained", "reproduce", [None, 1, -0.1]),
    "store": ("predictor", "predict", [None, "no", 1]),
    "split_name": ("prediction", "metrics_interval", [2]),
    "resamples": ("prediction", "metrics_interval", [None, 10, 10**30, 200.0]),
    "seed": ("prediction", "metrics_interval", [-1, 2**63]),
    "permute_count": ("prediction", "calc_featureImportance", [None, True, 0, 10**30]),
    "top_n": ("prediction", "plot_feature_importance", [0, 2.0]),
    "margin_left": ("prediction", "plot_feature_importance", [-1]),
    "feature_id": ("prediction", "importance_df", [7]),
    "prediction_index": ("prediction", "plot_confidence", [None, -1, 10**30]),
}


@pytest.mark.slow
def test_trained_rows_refuse_by_name_what_is_no_such_number_flag_or_text(home: Path) -> None:
    data = small_classes.frame(["a", "b"], 30)
    row = small_classes.queue(data, OrdinalEncoder(), analysis="classification_binary")
    Queue.update(permute_count=1).execute()
    row = Queue.get_by_id(row.id)
    row.run_jobs(progress=False)
    predictor = row.jobs[0].predictors[0]
    rows = {
        "queue": row,
        "predictor": predictor,
        "trained": predictor,
        "prediction": predictor.predictions[0],
    }
    for name, (on, method, more) in OF_ROWS.items():
        call = partial(
            getattr(rows[on], method), **({"features": data} if on == "predictor" else {})
        )
        for value in (*WRONG, *more):
            with pytest.raises(AIQCError, match=name):
                call(**{name: value})
