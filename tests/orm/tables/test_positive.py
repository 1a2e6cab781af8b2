"""Which of two classes is positive is chosen, shown, and decides every number that follows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics
from sklearn.preprocessing import LabelBinarizer, LabelEncoder, OneHotEncoder, OrdinalEncoder
from small_classes import frame, hot, queue, trained
from small_experiment import declare

from aiqc_core.errors import AlgorithmError, SelectionError
from aiqc_core.experiment import Pipeline, Training
from aiqc_core.orm import Dataset, Feature, Label, Queue, Splitset
from aiqc_core.orm.results.paired_evaluation import compare

BINARY = "classification_binary"
TEXT = ["ok", "fraud"]
CODERS = {
    "sorted": (TEXT, OrdinalEncoder(), "ok"),
    "in an order": (TEXT, OrdinalEncoder(categories=[TEXT]), "fraud"),
    "binarized": (TEXT, LabelBinarizer(), "ok"),
    "encoded": (TEXT, LabelEncoder(), "ok"),
    "dropped": (TEXT, OneHotEncoder(drop=["ok"]), "fraud"),
    "numbers": ([0, 1], None, 1),
    "truth values": ([False, True], None, True),
}


@pytest.mark.parametrize("positive", ["default", "the other"])
@pytest.mark.parametrize("kind", CODERS)
def test_every_number_is_of_the_positive_class(kind: str, positive: str) -> None:
    classes, coder, default = CODERS[kind]
    chosen = next(name for name in classes if name != default) if positive == "the other" else None
    wanted = default if chosen is None else chosen
    made = trained(frame(classes), coder, analysis=BINARY, positive=chosen)
    predictor = made.jobs[0].predictors[0]
    prediction = predictor.prediction
    assert made.positive_class == predictor.positive_class == wanted
    code = list(predictor.classes).index(wanted)
    for split, said in prediction.predictions.items():
        truth = made.splitset.label.to_df(samples=made.splitset.samples[split])["y"].to_numpy()
        hit, called = truth == wanted, np.asarray(said) == wanted
        share = prediction.probabilities[split]  # always of code 1
        share = share if code else 1 - share
        held, drawn = prediction.metrics[split], prediction.plot_data[split]
        assert held["f1"] == pytest.approx(metrics.f1_score(hit, called))
        assert held["precision"] == pytest.approx(metrics.precision_score(hit, called))
        assert held["recall"] == pytest.approx(metrics.recall_score(hit, called))
        assert held["roc_auc"] == pytest.approx(metrics.roc_auc_score(hit, share))
        fpr, tpr, _ = metrics.roc_curve(hit, share)
        assert drawn["roc_curve"][code]["tpr"] == pytest.approx(tpr.tolist())
        assert drawn["roc_curve"][code]["fpr"] == pytest.approx(fpr.tolist())
        precision, recall, _ = metrics.precision_recall_curve(hit, share)
        assert drawn["precision_recall"][code]["precision"] == pytest.approx(precision.tolist())
        assert drawn["precision_recall"][code]["recall"] == pytest.approx(recall.tolist())
        brier = metrics.brier_score_loss(hit, share)
        assert drawn["calibration"]["brier_score"] == pytest.approx(brier)
        half = drawn["thresholds"]["threshold"].index(0.5)
        assert drawn["thresholds"]["recall"][half] == pytest.approx(held["recall"])
        again = prediction.metrics_interval(split, resamples=100).set_index("metric")
        assert again.loc["f1", "value"] == held["f1"]
        assert again.loc["f1", "low"] <= held["f1"] <= again.loc["f1", "high"]
        assert set(again["positive"]) == {again.attrs["positive"]} == {wanted}


def test_the_positive_class_stands_beside_what_depends_on_it() -> None:
    made = trained(frame(TEXT), OrdinalEncoder(), analysis=BINARY, positive="fraud")
    prediction = made.jobs[0].predictors[0].prediction
    for table in (made.metrics_df(), made.metricsAggregate_df()):
        assert set(table["positive"]) == {table.attrs["positive"]} == {"fraud"}
    assert prediction.trace(0).positive == "fraud"
    drawn = [
        prediction.plot_roc_curve(call_display=False),
        prediction.plot_precision_recall(call_display=False),
        made.plot_performance(call_display=False, score_type="recall"),
    ]
    assert all("positive: fraud" in figure.layout.title.subtitle.text for figure in drawn)
    assert "class: fraud" in drawn[0].layout.legend.title.text
    of_all = made.plot_performance(call_display=False, score_type="accuracy")
    assert "positive" not in of_all.layout.title.subtitle.text


def test_another_positive_class_is_another_queue() -> None:
    data = Dataset.Tabular.from_df(frame(TEXT))
    rows = [Label.from_dataset(data.id, ["y"], positive=name) for name in (None, *TEXT)]
    assert [row.positive for row in rows] == [None, *TEXT]
    assert len({row.id for row in rows}) == 3


REFUSED: list[tuple[Any, Any, str]] = [
    (frame(TEXT), "thief", r"'thief' is no class of label 'y'; give one of \['fraud', 'ok'\]"),
    (frame(TEXT), "OK", "is no class"),
    (frame([0, 1]), "1", r"give one of \[0, 1\]"),
    (frame(["a", "b", "c"]), "a", "has 3 classes"),
    (frame([0.5, 1.5]), 0.5, "is continuous"),
    (hot(["no", "yes"]), "yes", "is one-hot"),
]


@pytest.mark.parametrize(("data", "positive", "match"), REFUSED)
def test_a_positive_that_is_no_class_of_two_is_refused(
    data: Any, positive: Any, match: str
) -> None:
    row, before = Dataset.Tabular.from_df(data), Label.select().count()
    columns = [name for name in data.columns if name not in {"x", "z"}]
    with pytest.raises(SelectionError, match=rf"positive: .*{match}"):
        Label.from_dataset(row.id, columns, positive=positive)
    assert Label.select().count() == before


def test_a_declaration_chooses_it_and_another_choice_trains_another_queue() -> None:
    plain = declare(epochs=(2,), fold_count=None)
    chosen = plain.model_copy(
        update={"pipeline": plain.pipeline.model_copy(update={"positive": "down"})}
    )
    first, second = plain.run(snapshot="a"), chosen.run(snapshot="a")
    assert (first.positive_class, second.positive_class) == ("up", "down")
    assert first.id != second.id
    recall = [
        row.metrics_df(selected_metrics=["recall"])["recall"].tolist() for row in (first, second)
    ]
    said = second.jobs[0].predictors[0].prediction
    truth = second.splitset.label.to_df(samples=second.splitset.samples["test"])["y"] == "down"
    wanted = metrics.recall_score(truth, said.predictions["test"] == "down")
    assert recall[1][list(said.metrics).index("test")] == wanted
    assert plain.run(snapshot="a").id == first.id  # what was there before is found again


def test_a_declared_class_that_is_none_is_refused_before_anything_is_written() -> None:
    plain, before = declare(fold_count=None, name="nothing_written"), Dataset.select().count()
    wrong = plain.model_copy(
        update={"pipeline": plain.pipeline.model_copy(update={"positive": "sideways"})}
    )
    with pytest.raises(SelectionError, match="positive: 'sideways' is no class of label 'y'"):
        wrong.run()
    assert Dataset.select().count() == before
    many = Training(**(dict(plain.training) | {"analysis_type": "classification_multi"}))
    with pytest.raises(ValueError, match=r"pipeline\.positive: 'up'; a classification_multi"):
        declare(pipeline=Pipeline(label="y", positive="up", size_test=0.2), training=many)


def test_champion_and_challenger_are_judged_by_name_whatever_their_coders_order() -> None:
    data = frame(TEXT)
    made = [
        trained(data, OrdinalEncoder(categories=[order]), analysis=BINARY, positive="fraud")
        for order in (TEXT, TEXT[::-1])
    ]
    champion, challenger = (row.jobs[0].predictors[0] for row in made)
    for metric in ("recall", "roc_auc"):
        found = compare(champion, challenger, metric=metric, split="test", level=0.95)
        mine = champion.prediction.metrics["test"][metric]
        assert found.champion == pytest.approx(mine)
        assert found.challenger == pytest.approx(challenger.prediction.metrics["test"][metric])
        assert found.positive == "fraud"
    assert "of 'fraud'" in str(
        compare(champion, challenger, metric="recall", split="test", level=0.95).finding().summary
    )


def test_an_average_over_classes_has_no_positive_one() -> None:
    before = Queue.select().count()
    with pytest.raises(AlgorithmError, match="positive: 'fraud' of Label"):
        queue(frame(TEXT), OneHotEncoder(), positive="fraud")
    assert Queue.select().count() == before


def test_new_data_is_scored_by_the_positive_class_of_its_model() -> None:
    made = trained(frame(TEXT), OrdinalEncoder(), analysis=BINARY, positive="fraud")
    predictor, new = made.jobs[0].predictors[0], frame(TEXT, 20)
    table = predictor.predict(new, label=new["y"])
    assert table.attrs["positive"] == "fraud"
    recall = metrics.recall_score(new["y"] == "fraud", table["y"] == "fraud")
    assert table.attrs["metrics"]["recall"] == recall
    data = Dataset.Tabular.from_df(new)
    feature = Feature.from_dataset(data.id, include_columns=["x", "z"])
    other = Label.from_dataset(data.id, ["y"], positive="ok")
    with pytest.raises(SelectionError, match=r"positive class of Label .* is 'ok', that of the"):
        Splitset.make([feature.id], other.id, predictor_id=predictor.id)
    same = Label.from_dataset(data.id, ["y"], positive="fraud")
    scored = Splitset.make([feature.id], same.id, predictor_id=predictor.id).infer()
    assert scored.metrics["infer_0"]["recall"] == recall
