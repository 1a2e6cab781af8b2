"""What no run can use is refused where it is declared, in the words of the field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import small_experiment
from sklearn.preprocessing import (
    KBinsDiscretizer,
    LabelBinarizer,
    MultiLabelBinarizer,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    StandardScaler,
)

from aiqc_core.errors import AIQCError, AlgorithmError, DeclarationError, SelectionError
from aiqc_core.experiment import (
    Experiment,
    FeatureEncoder,
    Interpolation,
    Labelled,
    Pipeline,
    Training,
    Windowing,
    declaration,
    workflow,
)
from aiqc_core.orm import Algorithm, Dataset, Feature, Hyperparamset, Label, Queue, Splitset

if TYPE_CHECKING:
    from pathlib import Path

NOISE = ("pydantic", "lax-or-strict", "input_value", "validation error")
OF_ROWS = ("exclude_columns", "include_columns", "splitset_id", "FeatureCoder", "LabelCoder")
SCALED = FeatureEncoder(encoder=StandardScaler())


def pipeline(**changes: Any) -> Pipeline:
    """Declare a pipeline over the columns x, z and y."""
    return Pipeline(**({"label": "y", "label_encoder": LabelBinarizer()} | changes))


def training(**changes: Any) -> Training:
    """Declare a small training."""
    given: dict[str, Any] = {
        "library": "pytorch", "analysis_type": "classification_binary",
        "fn_build": small_experiment.fn_build, "fn_train": small_experiment.fn_train,
    }  # fmt: skip
    return Training(**(given | changes))


def with_neurons(features_shape: Any, label_shape: Any, neurons: int, **hp: Any) -> Any:
    """Need a hyperparameter by its name."""


def of_nothing(**hp: Any) -> Any:
    """Take hyperparameters alone."""


def of_model(model: Any, **hp: Any) -> Any:
    """Take the model first."""


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: training(hyperparameters={"model": ["a"]}),
            r"^training\.hyperparameters.*'model' is an argument of fn_train",
        ),
        (
            lambda: training(hyperparameters={"label_shape": [1]}),
            "'label_shape' is an argument of fn_build",
        ),
        (lambda: training(hyperparameters={"eval_label": [1]}), "'eval_label' is an argument"),
        (
            lambda: training(fn_optimize=of_model, hyperparameters={"model": [1]}),
            "'model' is an arg",
        ),
        (lambda: training(hyperparameters={"a": None}), "'a' has no values; where None is meant"),
        (lambda: training(hyperparameters={"a": [float("nan")]}), "JSON would change"),
        (lambda: training(hyperparameters=5), r"^training\.hyperparameters: 5 should be"),
        (lambda: training(fn_build=with_neurons), "fn_build takes 'neurons', which is not among"),
        (lambda: training(fn_build=lambda a: a), r"^training\.fn_build: takes \(a\); wanted"),
        (lambda: training(fn_train=5), r"^training\.fn_train: 5 should be callable"),
        (lambda: training(library="torch"), r"^training\.library: 'torch' should be 'keras' or"),
        (
            lambda: pipeline(size_test=0.6, size_validation=0.4),
            r"^pipeline\.size_validation: 0\.4 beside",
        ),
        (lambda: pipeline(gap=2), r"^pipeline\.gap: 2 without time_ordered"),
        (lambda: pipeline(groups="x", time_ordered=True), "groups and time_ordered: give one"),
        (lambda: pipeline(bin_count=3, groups="x"), r"^pipeline\.bin_count"),
        (lambda: pipeline(features=[]), r"^pipeline\.features: is empty"),
        (lambda: pipeline(features=["x", "x"]), r"^pipeline\.features: names \['x'\] twice"),
        (lambda: pipeline(label=5), r"^pipeline\.label: 5 should be"),
        (lambda: pipeline(lable="y"), r"^pipeline\.lable: no such field\. Did you mean 'label'\?"),
        (lambda: pipeline(unsupervised_stratify_col="x"), r"^pipeline\.unsupervised_stratify_col"),
        (
            lambda: pipeline(feature_encoders=[SCALED, SCALED]),
            r"^pipeline\.feature_encoders\[1\]: the one before",
        ),
        (
            lambda: pipeline(features=["x"], interpolations=[Interpolation(columns=["z"])]),
            r"^pipeline\.interpolations\[0\]\.columns: \['z'\] are not among the features",
        ),
        (
            lambda: Pipeline(label_encoder=OneHotEncoder()),
            r"^pipeline\.label_encoder: there is no",
        ),
        (lambda: Windowing(size_window=0, size_shift=1), r"^pipeline\.window\.size_window: 0"),
        (lambda: FeatureEncoder(encoder=5), r"^pipeline\.feature_encoders\.encoder: 5; give"),
        (
            lambda: small_experiment.declare(source=5),
            r"^source: 5; give a function.*lambda: frame",
        ),
        (lambda: small_experiment.declare(source=lambda x: x), r"^source: takes \(x\)"),
        (lambda: small_experiment.declare(pipeline=5), r"^pipeline: 5 should be a Pipeline"),
        (
            lambda: small_experiment.declare(pipeline=Pipeline()),
            r"^training\.analysis_type: .* without a",
        ),
        (lambda: small_experiment.declare(schedule="61 * * * *"), r"^schedule: '61 \* \* \* \*'"),
        *[
            (lambda given=given: training(hyperparameters=given), message)
            for given, message in [
                ({"": [1]}, "'' is no name"),
                ({"n": {}}, "'n' has no values"),
                ({"n": {"low": 1}}, "a range has both 'low' and 'high'"),
                ({"n": range(3)}, "'n' is a range; give a list"),
                ({"n": {1, 2}}, "'n' is a set; give a list"),
            ]
        ],
        *[
            (
                lambda name=name, given=given: training(**{name: given}),
                rf"^training\.{name}: .*give a",
            )
            for name in ("repeat_count", "permute_count", "workers", "time_limit", "search_count")
            for given in (True, "2")
        ],
        (lambda: training(repeat_count=10**30), r"^training\.repeat_count: .*below 2\*\*31"),
        (lambda: pipeline(time_ordered="yes"), r"^pipeline\.time_ordered: 'yes'; give True or"),
        (lambda: pipeline(size_test="0.2"), r"^pipeline\.size_test: '0.2'; give a number"),
        (lambda: pipeline(groups="y"), r"^pipeline\.groups: 'y' is the label"),
        (lambda: pipeline(positive=0.5), r"^pipeline\.positive: 0.5; give a class"),
        *[
            (
                lambda coder=coder: pipeline(label_encoder=coder),
                "label_encoder: .* not tell the cla",
            )
            for coder in (
                OneHotEncoder(max_categories=2),
                OrdinalEncoder(min_frequency=2),
                MultiLabelBinarizer(),
            )
        ],
        *[
            (
                lambda coder=coder: small_experiment.declare(
                    pipeline=pipeline(label_encoder=coder),
                    training=training(analysis_type="regression"),
                ),
                r"^pipeline\.label_encoder: .*codes of classes",
            )
            for coder in (OneHotEncoder(), OrdinalEncoder(), KBinsDiscretizer(), LabelBinarizer())
        ],
        (
            lambda: small_experiment.declare(
                pipeline=pipeline(label_encoder=OneHotEncoder(drop="first")),
                training=training(analysis_type="classification_multi"),
            ),
            "not tell the classes apart: one has no column",
        ),
        *[
            (
                lambda kwargs=kwargs: Interpolation(interpolate_kwargs=kwargs),
                r"^pipeline\.interpolations\.interpolate_kwargs",
            )
            for kwargs in ({"method": "no"}, {"method": "linear", "limit": -1}, {"inplace": True})
        ],
        (lambda: Interpolation(dtypes=["flot64"]), r"interpolations\.dtypes: .* are not floating"),
        (
            lambda: FeatureEncoder(encoder=StandardScaler(), dtypes=["flot64"]),
            r"feature_encoders\.dtypes: .*Did you mean 'float64'",
        ),
        *[
            (lambda given=given: pipeline(reshape_indices=given), r"^pipeline\.reshape_indices: ")
            for given in ([], ["a"], [1, 0], [0, 0], [0, -1], [0, True])
        ],
    ],
)
def test_it_is_refused_in_one_line_that_names_the_field(make: Any, message: str) -> None:
    with pytest.raises(DeclarationError, match=message) as caught:
        make()
    text = str(caught.value)
    assert "\n" not in text
    assert not [word for word in (*NOISE, *OF_ROWS) if word in text]


@pytest.mark.parametrize(
    "make",
    [
        lambda: pipeline(size_test=0.5, size_validation=0.4),
        lambda: pipeline(
            feature_encoders=[FeatureEncoder(encoder=StandardScaler(), columns=["x"]), SCALED]
        ),
        lambda: pipeline(feature_encoders=[SCALED]),
        lambda: Pipeline(feature_encoders=[FeatureEncoder(encoder=PowerTransformer())]),
        lambda: training(hyperparameters={"a": [None], "learning rate": [0.1], "class": ["x"]}),
        lambda: training(fn_build=with_neurons, hyperparameters={"neurons": [8]}),
        lambda: training(fn_lose=of_nothing, hyperparameters={"delta": [1.0]}),
        lambda: training(repeat_count=2.0, workers=np.int64(2), time_limit=5),
        lambda: pipeline(positive=np.int64(2**40), reshape_indices=(0, "1", (1, 2))),
        lambda: pipeline(label_encoder=OneHotEncoder(drop="first")),
        lambda: Interpolation(interpolate_kwargs={"method": "linear", "limit": 2}),
        lambda: FeatureEncoder(encoder=StandardScaler(), dtypes=["Float64", "category", "str"]),
    ],
)
def test_what_a_run_can_use_is_taken(make: Any) -> None:
    make()


def test_a_value_that_is_given_repeatedly_is_reported_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    declared = small_experiment.declare(training=training(hyperparameters={"n": [1, 1, 2]}))
    assert [combination["n"] for combination in declared.combinations()] == [1, 2]
    assert caplog.text.count("repeated values of 'n'") == 1


@pytest.mark.parametrize("kind", ["frame", "array", "labelled"])
def test_a_source_may_be_the_data_themselves(kind: str) -> None:
    frame = small_experiment.source()
    given = {"frame": frame, "array": np.zeros((4, 2, 2)), "labelled": Labelled(frame)}[kind]
    loaded = small_experiment.declare(source=given).load()
    assert loaded.values is (frame if kind == "labelled" else given)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": "yy"}, r"^pipeline\.label: no column 'yy'\. Did you mean 'y'\?"),
        ({"features": ["x", "zz"]}, r"^pipeline\.features: no column 'zz'\. Did you mean 'z'\?"),
        ({"groups": "ward"}, r"^pipeline\.groups: no column 'ward'\. Allowed: x, z, y"),
        (
            {"feature_encoders": [FeatureEncoder(encoder=StandardScaler(), columns=["q"])]},
            r"^pipeline\.feature_encoders\[0\]\.columns: no column 'q'",
        ),
        (
            {"feature_encoders": [FeatureEncoder(encoder=StandardScaler(), dtypes=["int8"])]},
            r"^pipeline\.feature_encoders\[0\]: ",
        ),
        ({"window": Windowing(size_window=90, size_shift=1)}, r"^pipeline\.window: "),
        ({"reshape_indices": [0, 9]}, r"^pipeline\.reshape_indices: "),
    ],
)
def test_what_the_data_refute_is_said_in_the_words_of_the_declaration(
    home: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    file = tmp_path / "rows.csv"
    small_experiment.source().to_csv(file, index=False)
    for source in (small_experiment.source, file):
        experiment = small_experiment.declare(source=source, pipeline=pipeline(**changes))
        with pytest.raises(AIQCError, match=message) as caught:
            workflow.prepare(experiment, "s1")
        assert not [word for word in OF_ROWS if word in str(caught.value)]


def test_columns_that_are_not_there_are_refused_before_anything_is_registered(home: Path) -> None:
    with pytest.raises(SelectionError, match="Did you mean"):
        small_experiment.declare(pipeline=pipeline(label="yy")).run()
    assert Dataset.select().count() == 0


def test_text_that_no_encoder_takes_is_said_without_rows(home: Path) -> None:
    source = small_experiment.source().assign(word="a")
    experiment = small_experiment.declare(source=source, pipeline=pipeline())
    with pytest.raises(AlgorithmError, match=r"pipeline\.feature_encoders.*word") as caught:
        workflow.prepare(experiment, "s1")
    assert not [word for word in OF_ROWS if word in str(caught.value)]


def test_rows_refuse_the_same_hyperparameters(home: Path) -> None:
    made = Algorithm.make(
        "pytorch", "classification_binary", with_neurons, small_experiment.fn_train
    )
    for given, message in (
        ({"model": ["a", "b"], "neurons": [8]}, "'model' is an argument of fn_train"),
        ({"neurons": None}, "'neurons' has no values"),
        ({"epochs": [1]}, "fn_build takes 'neurons'"),
        ([1], r"give \{name"),
    ):
        with pytest.raises(AlgorithmError, match=message):
            Hyperparamset.from_algorithm(made.id, given)
    assert Hyperparamset.select().count() == 0
    dataset = Dataset.Tabular.from_df(small_experiment.source())
    feature = Feature.from_dataset(dataset.id, ["x", "z"])
    cut = Splitset.make([feature.id], Label.from_dataset(dataset.id, "y").id, size_test=0.2)
    with pytest.raises(AlgorithmError, match="fn_build takes 'neurons'"):
        Queue.from_algorithm(made.id, cut.id)


def test_a_file_that_declares_what_cannot_run_has_faults(tmp_path: Path) -> None:
    small_experiment.source().to_csv(tmp_path / "rows.csv", index=False)
    text = (
        "from pathlib import Path\nimport small_experiment\nfrom aiqc_core.experiment import *\n"
        "EXPERIMENT = small_experiment.declare(source=Path(__file__).parent / 'rows.csv',\n"
        "    pipeline=Pipeline(label='yy', size_test=0.2))\n"
    )
    (tmp_path / "experiment.py").write_text(text)
    (found,) = declaration.discover(tmp_path)
    assert [fault.message for fault in found.faults] == [
        "pipeline.label: no column 'yy'. Did you mean 'y'?"
    ]
    assert isinstance(found.experiment, Experiment)
    frame = pd.read_csv(tmp_path / "rows.csv")
    assert list(frame) == ["x", "z", "y"]
