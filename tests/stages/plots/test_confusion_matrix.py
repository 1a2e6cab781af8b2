"""Confusion matrices and the confidence of one sample: values, names and their order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from aiqc_core.stages.evaluate import curves
from aiqc_core.stages.plots import confidence, confusion_matrix


@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_cells_are_counts_with_rows_true_and_colours_are_shares_of_the_row(
    pairs: list[tuple[int, int]],
) -> None:
    truth, predicted = np.array(pairs).T
    names = ["a", "b", "c", "d"]
    data = {"test": curves.plot_data(truth, predicted, None, 4)}
    (matrix,) = confusion_matrix.data(data, names)
    (heat,) = confusion_matrix.figure(matrix).data
    for i, row in enumerate(heat.text):
        for j, count in enumerate(row):
            assert count == sum(pair == (i, j) for pair in pairs)
    shares = metrics.confusion_matrix(truth, predicted, labels=range(4), normalize="true")
    np.testing.assert_allclose(np.array(heat.z, dtype=float), shares)
    assert (heat.zmin, heat.zmax) == (0, 1)


def test_rows_go_down_in_the_order_of_the_classes() -> None:
    data = {"test": {"confusion_matrix": [[1, 1, 0], [0, 1, 0], [0, 0, 1]]}}
    figure = confusion_matrix.figure(confusion_matrix.data(data, ["0", "1", "2"])[0])
    for axis in (figure.layout.xaxis, figure.layout.yaxis):
        assert axis.type == "category", "else '0', '1', '2' would be numbers"
        assert list(axis.ticktext) == ["0", "1", "2"]
    assert figure.layout.yaxis.autorange == "reversed"
    assert figure.layout.title.text == "Confusion matrix: test (3 of 4 samples are right)"


def test_long_names_are_shortened_and_tilted_and_stay_apart() -> None:
    long = [f"a class whose name is far too long, number {i}" for i in range(3)]
    twins = [f"the same beginning {'x' * 40} and the same end" + " " * i for i in range(2)]
    data = {"test": {"confusion_matrix": np.eye(5, dtype=int).tolist()}}
    figure = confusion_matrix.figure(confusion_matrix.data(data, [*long, *twins])[0])
    shown = figure.layout.xaxis.ticktext
    assert len(set(shown)) == 5
    assert max(map(len, shown)) <= 32
    assert figure.layout.xaxis.tickangle == -45
    assert list(figure.data[0].x) == [*long, *twins], "the hover tells the whole name"


def test_a_matrix_of_many_classes_is_coloured_without_numbers() -> None:
    data = {"test": {"confusion_matrix": np.eye(40, dtype=int).tolist()}}
    names = [str(i) for i in range(40)]
    (heat,) = confusion_matrix.figure(confusion_matrix.data(data, names)[0]).data
    assert heat.texttemplate is None


def test_confidence_of_two_classes_is_shown_for_both() -> None:
    found = confidence.data(0.25, ["<=50K", ">50K"], "<=50K", ">50K")
    figure = confidence.figure(found)
    assert figure.layout.title.text == "Confidence: predicted &lt;=50K, true &gt;50K"
    assert list(figure.data[0].x) == ["<=50K", ">50K"]
    assert list(figure.data[0].y) == [0.75, 0.25]
    assert figure.layout.shapes[0].y0 == 0.5
    assert figure.layout.height == 175


def test_confidence_marks_the_predicted_class() -> None:
    figure = confidence.figure(confidence.data([0.2, 0.5, 0.3], ["a", "b", "c"], "b", "b"))
    colors = figure.data[0].marker.color
    assert colors[0] == colors[2] != colors[1]
    assert figure.layout.title.text == "Confidence: predicted b, true b"
    assert not figure.layout.shapes


def test_of_many_classes_the_likeliest_are_shown_in_their_order() -> None:
    values = np.arange(30, dtype=float)[::-1] ** 2
    found = confidence.data(values / values.sum(), [f"c{i:02d}" for i in range(30)], "c00")
    assert found["classes"] == [f"c{i:02d}" for i in range(12)]
    assert sum(found["probabilities"]) == pytest.approx((values / values.sum())[:12].sum())
    assert "12 likeliest" in confidence.figure(found).layout.title.subtitle.text
