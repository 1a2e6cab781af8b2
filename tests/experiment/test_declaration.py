"""One experiment in YAML or in Python; a wrong file tells all of its faults at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import small_experiment
from hypothesis import given
from hypothesis import strategies as st

from aiqc_core.errors import DeclarationError, NotFoundError
from aiqc_core.experiment.declaration import Found, discover, examine, load
from aiqc_core.usercode.identity import fingerprint

SMALL = """\
name: updown
source: small_experiment.source
pipeline:
  label: y
  label_encoder: sklearn.preprocessing.LabelBinarizer
  feature_encoders:
    - sklearn.preprocessing.StandardScaler
  size_test: 0.2
  fold_count: 2
training:
  library: pytorch
  analysis_type: classification_binary
  functions: small_experiment
  hyperparameters: { epochs: [2, 4] }
  permute_count: 0
seed: 5
"""
FUNCTIONS = """\
def fn_build(features_shape, label_shape, **hp): ...
def fn_train(model, loser, optimizer, train_features, train_label, eval_features, eval_label,
             **hp): ...
"""


def write(folder: Path, text: str, name: str = "defs.yaml") -> Path:
    """Write a file into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def faults(folder: Path, text: str = SMALL, *, deep: bool = False, **parts: str) -> list[str]:
    """Return the faults of a YAML text as `line: message`, with parts of it replaced."""
    for old, new in parts.items():
        assert PARTS[old] in text
        text = text.replace(PARTS[old], new)
    _, found = examine(write(folder, text), deep=deep)
    return [f"{fault.line}: {fault.message}" for fault in found]


PARTS = {
    "name": "name: updown",
    "source": "source: small_experiment.source",
    "label": "label: y",
    "coder": "- sklearn.preprocessing.StandardScaler",
    "size": "size_test: 0.2",
    "functions": "functions: small_experiment",
    "grid": "{ epochs: [2, 4] }",
    "seed": "seed: 5",
}


# ------------------------------------------------------------------ YAML = Python
def test_the_yaml_and_the_python_of_an_experiment_are_equal(tmp_path: Path) -> None:
    ours, theirs = load(write(tmp_path, SMALL)), small_experiment.declare()
    assert ours.job_keys() == theirs.job_keys()
    assert ours.seed == theirs.seed
    assert fingerprint(ours.training.fn_train) == fingerprint(theirs.training.fn_train)
    without = {"pipeline": {"label_encoder": True, "feature_encoders": True}}
    assert ours.model_dump(exclude=without) == theirs.model_dump(exclude=without)


def test_both_train_the_same_queue_with_the_same_models(home: object, tmp_path: Path) -> None:
    """Equal inputs find the rows that were made before: what one trained, the other has."""
    first = small_experiment.declare().run(snapshot="s1")
    second = load(write(tmp_path, SMALL)).run(snapshot="s1")
    assert first.id == second.id
    assert second.runs_completed == second.total_runs == 4


def test_the_envelope_of_a_component_is_opened(tmp_path: Path) -> None:
    inner = "".join(f"  {line}\n" for line in SMALL.splitlines())
    text = f"type: aiqc_dagster.component.ExperimentComponent\nattributes:\n{inner}"
    plain = load(write(tmp_path / "plain", SMALL))
    assert load(write(tmp_path, text)).job_keys() == plain.job_keys()


def test_numbers_and_words_are_read_as_yaml_1_2_reads_them(tmp_path: Path) -> None:
    grid = "{ rate: [1e-3, 2.5E2, 010], name: [no, on, 12:30, 2020-01-01], off: [true, null] }"
    read = load(write(tmp_path, SMALL.replace("{ epochs: [2, 4] }", grid)))
    assert read.training.hyperparameters == {
        "rate": [0.001, 250.0, 10],
        "name": ["no", "on", "12:30", "2020-01-01"],
        "off": [True, None],
    }


def test_arguments_of_an_encoder_may_be_functions_beside_the_file(tmp_path: Path) -> None:
    write(tmp_path, "def double(x):\n    return 2 * x\n", "functions.py")
    coder = (
        "- encoder: sklearn.preprocessing.FunctionTransformer\n"
        "      args: { func: { import: .functions:double }, validate: true }"
    )
    read = load(write(tmp_path, SMALL.replace(PARTS["coder"], coder)))
    transformer = read.pipeline.feature_encoders[0].encoder
    assert transformer.transform([[3.0]]).tolist() == [[6.0]]
    assert transformer.validate


def test_a_file_is_found_beside_the_declaration_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_experiment.source().to_csv(tmp_path / "rows.csv", index=False)
    file = write(tmp_path, SMALL.replace(PARTS["source"], "source: rows.csv"))
    monkeypatch.chdir(tmp_path.parent)
    read = load(file.relative_to(Path.cwd()))
    assert read.load().values.shape == (60, 3)


def test_several_documents_are_several_experiments(tmp_path: Path) -> None:
    other = SMALL.replace("updown", "again")
    write(tmp_path, f"{SMALL}---\n{other}")
    found = discover(tmp_path)
    assert [one.experiment.name for one in found if one.experiment] == ["updown", "again"]
    assert [one.document for one in found] == [0, 1]


# ------------------------------------------------------------------ what is wrong
WRONG: list[tuple[dict[str, str], str]] = [
    ({"label": "lable: y"}, "4: pipeline.lable: no such key. Did you mean 'label'?"),
    (
        {"coder": "- sklearn.preprocessing.StandardScalr"},
        (
            "7: pipeline.feature_encoders[0]: 'sklearn.preprocessing' has no 'StandardScalr'. "
            "Did you mean 'StandardScaler'?"
        ),
    ),
    (
        {"coder": "- sklearn.linear_model.Ridge"},
        (
            "7: pipeline.feature_encoders[0]: sklearn_preprocess: Ridge(); give an instance of a "
            "class of sklearn.preprocessing, such as StandardScaler(), not a function such as "
            "scale."
        ),
    ),
    (
        {"coder": "- sklearn.preprocessing.scale"},
        (
            "7: pipeline.feature_encoders[0]: 'sklearn.preprocessing.scale' is no class; give an "
            "encoder of sklearn.preprocessing, such as sklearn.preprocessing.StandardScaler."
        ),
    ),
    (
        {"grid": "{ epochs: [] }"},
        (
            "14: training.hyperparameters.epochs: 'epochs' has no values; give at least one, or "
            "leave it out."
        ),
    ),
    (
        {"source": "source: nowhere.csv"},
        "2: source: no file 'nowhere.csv' beside defs.yaml. Put it there, or correct the path.",
    ),
    (
        {"functions": "functions: .function"},
        (
            "13: training.functions: no file function.py beside the declaration. Did you mean "
            "'.functions'?"
        ),
    ),
    ({"size": "size_test: 1.5"}, "8: pipeline.size_test: 1.5 should be less than 1."),
    (
        {"name": "name: notebook"},
        "1: name: 'notebook' names assets that are there already; choose another name.",
    ),
    (
        {"seed": "metric: accurcy"},
        (
            "16: metric: 'accurcy' is no metric of a classification_binary; choose among "
            "accuracy, f1, loss, precision, recall, roc_auc. Did you mean 'accuracy'?"
        ),
    ),
    (
        {"seed": "timezone: Europe/Berln"},
        "16: timezone: 'Europe/Berln' is no timezone; give one as 'UTC' or 'Europe/Berlin'.",
    ),
    (
        {"seed": "freshness: -3"},
        "16: freshness: -3; give a number of hours above 0, such as 24, or a timedelta.",
    ),
    (
        {"seed": "promotion: { max_q: 0.1 }"},
        "16: promotion.max_q: no such key. Did you mean 'max_p'?",
    ),
    ({"seed": "seed: 5\nseed: 6"}, "17: seed: stands here and on line 16; keep one."),
]


@pytest.mark.parametrize(("parts", "message"), WRONG, ids=lambda v: next(iter(v), ""))
def test_a_fault_names_line_place_and_remedy(
    tmp_path: Path, parts: dict[str, str], message: str
) -> None:
    write(tmp_path, FUNCTIONS, "functions.py")
    assert faults(tmp_path, **parts) == [message]


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    text = SMALL.replace("label: y", "lable: y").replace("[2, 4]", "[]")
    file = write(tmp_path, text.replace("seed: 5", "seed: -5\nschedule: every day"))
    with pytest.raises(DeclarationError) as error:
        load(file)
    lines = str(error.value).splitlines()
    assert [line.partition("defs.yaml:")[2].partition(":")[0] for line in lines] == [
        "4", "14", "16", "17",
    ]  # fmt: skip


def test_an_unknown_column_of_a_file_is_found_without_reading_its_rows(tmp_path: Path) -> None:
    small_experiment.source().to_csv(tmp_path / "rows.csv", index=False)
    coder = "- { encoder: sklearn.preprocessing.StandardScaler, columns: [x, zz] }"
    parts = {"source": "source: rows.csv", "label": "label: why", "coder": coder}
    assert faults(tmp_path, **parts) == [
        "4: pipeline.label: no column 'why'. Allowed: x, z, y.",
        "7: pipeline.feature_encoders[0].columns: no column 'zz'. Did you mean 'z'?",
    ]


def test_a_file_of_other_separators_is_reported_as_such(tmp_path: Path) -> None:
    small_experiment.source().to_csv(tmp_path / "rows.csv", index=False, sep=";")
    [fault] = faults(tmp_path, source="source: rows.csv")
    assert fault.startswith("2: source: reading it raised IngestError: file_path: ")
    assert "';' seems to separate them" in fault


def test_an_unknown_column_of_parquet_is_found(tmp_path: Path) -> None:
    pd.DataFrame({"x": [1.0], "why": ["a"]}).to_parquet(tmp_path / "rows.parquet")
    parts = {"source": "source: rows.parquet"}
    assert faults(tmp_path, **parts) == ["4: pipeline.label: no column 'y'. Allowed: x, why."]


def test_a_source_is_called_only_where_it_is_asked_for(tmp_path: Path) -> None:
    assert faults(tmp_path, label="label: why") == []
    [told_] = faults(tmp_path, deep=True, label="label: why")
    assert told_ == "4: pipeline.label: no column 'why'. Allowed: x, z, y."


def test_what_a_file_of_functions_raises_names_that_file_and_line(tmp_path: Path) -> None:
    write(tmp_path, "import os\n\nos.environ['AIQC_NOT_THERE']\n", "functions.py")
    _, found = examine(write(tmp_path, SMALL.replace(PARTS["functions"], "functions: .functions")))
    assert [(f.file.name, f.line) for f in found] == [("defs.yaml", 13), ("functions.py", 3)]
    assert found[1].message == (
        "KeyError: 'AIQC_NOT_THERE', in <module>: `os.environ['AIQC_NOT_THERE']`"
    )


def test_a_syntax_error_names_file_and_line(tmp_path: Path) -> None:
    write(tmp_path, "x = 1\ndef fn_build(:\n", "functions.py")
    _, found = examine(write(tmp_path, SMALL.replace(PARTS["functions"], "functions: .functions")))
    assert (found[1].file.name, found[1].line) == ("functions.py", 2)


@pytest.mark.parametrize("deep", [False, True])
def test_a_function_with_other_arguments_is_found(tmp_path: Path, deep: Any) -> None:
    write(tmp_path, FUNCTIONS.replace("model, loser", "loser"), "functions.py")
    [fault] = faults(tmp_path, deep=deep, functions="functions: .functions")
    assert fault.startswith("13: fn_train: takes (loser, optimizer")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("name: [a\nseed: 1\n", 2, "is no plain YAML: while parsing a flow sequence"),
        ("name: !!python/object/apply:os.getcwd []\n", 1, "could not determine a constructor"),
        ("- a\n", 1, "holds a list; give keys such as name: and pipeline:."),
        ("", None, "is empty; it declares nothing."),
    ],
)
def test_a_text_that_declares_nothing_is_one_fault(
    tmp_path: Path, text: str, line: int | None, message: str
) -> None:
    _, [fault] = examine(write(tmp_path, text))
    assert fault.line == line
    assert message in fault.message


def test_a_source_may_lie_in_the_users_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for folder, name in ((tmp_path / "home", "rows.csv"), (tmp_path / "d", "~rows.csv")):
        write(folder, "x,y\n1,2\n", name)
    for written, file in (("~/rows.csv", "home/rows.csv"), ("~rows.csv", "d/~rows.csv")):
        text = SMALL.replace("small_experiment.source", f'"{written}"')
        made, _ = examine(write(tmp_path / "d", text))
        assert made is not None
        assert made.source == tmp_path / file
    assert small_experiment.declare(source="~/rows.csv").source == tmp_path / "home" / "rows.csv"
    text = SMALL.replace("small_experiment.source", "~/no.csv")
    _, (fault, *_) = examine(write(tmp_path / "d", text))
    assert f"no file '~/no.csv' at {tmp_path / 'home'}" in fault.message


def lines(found: Found) -> str:
    """Return the faults of a declaration as lines."""
    return "\n".join(map(str, found.faults))


def test_two_experiments_of_one_name_are_distinguished(tmp_path: Path) -> None:
    write(tmp_path / "a", SMALL)
    write(tmp_path / "b", SMALL)
    first, second = discover(tmp_path)
    assert first.faults == ()
    assert f"'updown' is the name of the experiment at {first.file}:1 too" in lines(second)


def test_python_and_yaml_are_found_side_by_side(tmp_path: Path) -> None:
    write(tmp_path / "a", SMALL)
    python = "import small_experiment\nEXPERIMENT = small_experiment.declare(name='python')\n"
    write(tmp_path / "b", python, "experiment.py")
    write(tmp_path / "c", python.replace("'python'", "'No'"), "experiment.py")
    write(tmp_path / "d", "x = 1\n", "experiment.py")
    write(tmp_path / "e", "import sys\nsys.exit(3)\n", "experiment.py")
    found = {one.folder.name: one for one in discover(tmp_path)}
    assert {key for key, one in found.items() if not one.faults} == {"a", "b"}
    assert "experiment.py:2: name: 'No' should be up to 60" in lines(found["c"])
    assert "defines no EXPERIMENT" in lines(found["d"])
    assert "SystemExit: 3" in lines(found["e"])


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="give a declaration, or a folder of them"):
        discover(tmp_path / "nowhere")


SCALARS: Any = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
TREES = st.recursive(
    SCALARS,
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["name", "pipeline", "training", "label", "encoder", "args", "source"]
            ),
            below,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(TREES)
def test_whatever_a_file_holds_is_reported_and_never_raised(
    tmp_path_factory: pytest.TempPathFactory, tree: Any
) -> None:
    """JSON is YAML: any tree is a declaration with faults, for the name alone is never enough."""
    folder = tmp_path_factory.mktemp("tree")
    experiment, found = examine(write(folder, json.dumps({"name": "x", "pipeline": tree})))
    assert experiment is None
    assert found


# ------------------------------------------------------------------ names that nothing reads
PYTHON = "from aiqc_core.experiment import Experiment\n\nEXPERIMENT = Experiment(name='a')\n"
COMPONENT = "type: aiqc_dagster.component.ExperimentComponent\nattributes: {}\n"
MISNAMED = {
    "defs.yml": SMALL, "def.yaml": SMALL, "Defs.yaml": SMALL, "defs.yaml.txt": SMALL,
    "component.yml": COMPONENT, "component.yaml": COMPONENT, "experiment.yaml": SMALL,
    "DEFS.YML": "type: [", "experiment.yml": "", "mine.yaml": SMALL,
    "defs.ymal": SMALL, "defs.yaml ": SMALL, "defs": SMALL, ".defs.yaml": SMALL,
    "defs.json": json.dumps({"name": "a", "pipeline": {}, "training": {}}),
    "both.py": PYTHON.replace("EXPERIMENT = ", "EXPERIMENTS: list = [").replace(")\n", ")]\n"),
    "Experiment.py": PYTHON, "experiments.py": PYTHON, "experiment.py.txt": PYTHON,
    "mine.py": PYTHON,
}  # fmt: skip


@pytest.mark.parametrize("name", MISNAMED)
def test_a_declaration_under_another_name_is_reported_with_the_right_one(
    tmp_path: Path, name: str
) -> None:
    write(tmp_path / "sound", SMALL)
    file = write(tmp_path / "second" / "below", MISNAMED[name], name)
    right = "experiment.py" if ".py" in name else "defs.yaml"
    found = [one for one in discover(tmp_path) if one.faults]
    assert [(one.file, one.experiment) for one in found] == [(file, None)]
    assert f"is not read under this name; rename it to {right!r}" in found[0].faults[0].message


@pytest.mark.parametrize("name", ["defs2.yaml", "mine.yml", "defs.txt", "mine.py"])
@pytest.mark.parametrize("right", ["defs.yaml", "experiment.py"])
def test_another_declaration_beside_one_that_is_read_is_reported_and_a_copy_is_not(
    tmp_path: Path, name: str, right: str
) -> None:
    python = "import small_experiment\n\nEXPERIMENT = small_experiment.declare(name='updown')\n"
    of = {"py": python, "yaml": SMALL, "yml": SMALL, "txt": SMALL}
    write(tmp_path, of[right.split(".")[1]], right)
    text = of[name.split(".")[1]] + "# Experiment\n"
    write(tmp_path, text, name)
    assert [one.faults for one in discover(tmp_path)] == [()]
    write(tmp_path, text.replace("updown", "other"), name)
    (fault,) = (fault for one in discover(tmp_path) for fault in one.faults)
    assert fault.file.name == name
    assert "in a folder of its own" in fault.message


def test_functions_beside_data_without_a_declaration_are_reported(tmp_path: Path) -> None:
    write(tmp_path / "second", FUNCTIONS, "functions.py")
    assert discover(tmp_path) == []
    write(tmp_path / "second", "x,y\n1,2\n", "rows.csv")
    (found,) = discover(tmp_path)
    assert "beside rows.csv and no declaration" in found.faults[0].message
    write(tmp_path / "first", SMALL.replace("small_experiment.source", "../second/rows.csv"))
    assert [one.file.parent.name for one in discover(tmp_path)] == ["first"]


def test_sound_folders_are_let_alone(tmp_path: Path) -> None:
    write(tmp_path / "a", SMALL)
    write(tmp_path / "a", SMALL, "defs.yml")  # a spare copy beside the one that is read
    write(tmp_path / "a" / "settings", "training: fast\n", "settings.yaml")
    write(tmp_path / "a" / "helpers", "EXPERIMENT_NAME = 'a'\n\ndef fn_build(): ...\n", "nets.py")
    write(tmp_path / "a" / "data", "x\n1\n", "rows.csv")
    write(tmp_path / "a" / "__pycache__", SMALL, "defs.yml")
    write(tmp_path / ".git", SMALL, "defs.yml")
    write(tmp_path / "other", "type: dagster_dbt.DbtProjectComponent\nattributes: {}\n")
    write(tmp_path / "other2", "type: dagster.DefsFolderComponent\n", "component.yaml")
    write(tmp_path / "notes", "# An experiment\n", "README.md")
    write(tmp_path / "notes", "EXPERIMENT = 'a'\nEXPERIMENTS = ['a']  # Experiment\n", "names.py")
    write(tmp_path / "notes", "x: 1\n", "component.yaml")
    write(tmp_path / "notes", "1 / 0\n", "script.py")  # no package, so that nothing imports it
    write(tmp_path / "notes", "", ".#lock.py").unlink()
    (tmp_path / "notes" / ".#lock.py").symlink_to("me@host")
    (tmp_path / "linked").symlink_to(write(tmp_path / ".out", "", "rows.csv").parent)
    assert [one.faults for one in discover(tmp_path)] == [()]
