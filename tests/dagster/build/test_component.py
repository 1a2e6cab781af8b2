"""A folder with `defs.yaml` is an experiment; one that is wrong is shown, and the others load."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from places import ROOT
from typer.testing import CliRunner

from aiqc_core import config
from aiqc_core.cli.app import app
from aiqc_core.experiment import declaration
from aiqc_core.orm import Predictor
from aiqc_dagster import definitions
from aiqc_dagster.build import invalid, loader
from aiqc_dagster.build.experiment import whole
from aiqc_dagster.executors.choose import EXECUTOR_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

GOOD = """\
type: aiqc_dagster.component.ExperimentComponent
attributes:
  name: {name}
  source: rows.csv
  pipeline: {{ label: y, label_encoder: sklearn.preprocessing.LabelBinarizer, size_test: 0.2 }}
  training:
    library: pytorch
    analysis_type: classification_binary
    functions: .functions
    hyperparameters: {{ epochs: [1, 2] }}
"""
FUNCTIONS = """\
def fn_build(features_shape, label_shape, **hp): ...
def fn_train(model, loser, optimizer, train_features, train_label, eval_features, eval_label,
             **hp): ...
"""


def experiment(folder: Path, text: str) -> None:
    """Write the folder of an experiment."""
    folder.mkdir(parents=True)
    (folder / "defs.yaml").write_text(text, encoding="utf-8")
    (folder / "functions.py").write_text(FUNCTIONS, encoding="utf-8")
    (folder / "rows.csv").write_text("x,y\n1.5,a\n2.5,b\n", encoding="utf-8")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Make an empty package of declarations that Python finds."""
    root = tmp_path / "declared_here"
    root.mkdir()
    (root / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("declared_here")
    for name in [name for name in sys.modules if name.startswith("declared_here")]:
        del sys.modules[name]


def loaded(package: ModuleType) -> dg.Definitions:
    """Return the code location of a package, looked at as Dagster does."""
    defs = whole(*loader.load(package))
    dg.Definitions.validate_loadable(defs)
    return defs


def keys(defs: dg.Definitions) -> set[str]:
    """Return the assets of a code location but those of notebooks."""
    found = {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}
    return {key for key in found if not key.startswith("notebook/")}


def test_a_folder_is_assets_checks_jobs_and_a_schedule(package: ModuleType) -> None:
    text = GOOD.format(name="mine") + '  schedule: "0 6 * * *"\n  timezone: Europe/Berlin\n'
    experiment(Path(package.__path__[0]) / "mine", text)
    defs = loaded(package)
    assert {"mine/dataset", "mine/predictor", "mine/leaderboard"} <= keys(defs)
    schedule = defs.resolve_schedule_def("mine_schedule")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 6 * * *", "Europe/Berlin")
    assert defs.resolve_job_def("retrain_mine").tags["aiqc/experiment"] == "mine"


@pytest.mark.filterwarnings("ignore::dagster.PreviewWarning")
@pytest.mark.filterwarnings("ignore:`parse_obj_as` is deprecated")
def test_dagsters_own_loader_gives_the_same(package: ModuleType) -> None:
    """`load_from_defs_folder` and `dg` walk the folder themselves; they find our component."""
    root = Path(package.__path__[0])
    experiment(root / "mine", GOOD.format(name="mine"))
    experiment(root / "wrong", GOOD.format(name="wrong").replace("label:", "lable:"))
    tree = dg.ComponentTree.from_module(defs_module=package, project_root=root.parent)
    defs = whole(tree.build_defs())
    assert keys(defs) == keys(loaded(package))
    assert "wrong/faulty" in keys(defs)


BROKEN = {
    "a key": (GOOD.format(name="b").replace("label:", "lable:"), "defs.yaml:5", "'label'?"),
    "a column": (GOOD.format(name="b").replace("label: y", "label: z"), "defs.yaml:5", "Allowed"),
    "an encoder": (GOOD.format(name="b").replace("LabelB", "LbelB"), "defs.yaml:5", "Did you"),
    "a source": (GOOD.format(name="b").replace("rows", "row"), "defs.yaml:4", "'rows.csv'?"),
    "a grid": (GOOD.format(name="b").replace("[1, 2]", "[]"), "defs.yaml:10", "at least one"),
    "a name": (GOOD.format(name="a"), "defs.yaml:3", "give each its own"),
    "text": ("type: [\n", "defs.yaml:2", "no plain YAML"),
    "a type": ("type: no.such.Component\n", "b:-", "No module named 'no'"),
    "a near type": (
        GOOD.format(name="b").replace("tComp", "Comp"), "defs.yaml:1", "give 'aiqc_dagster.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_faulty_folder_is_shown_and_the_others_load(package: ModuleType, what: str) -> None:
    text, place, remedy = BROKEN[what]
    root = Path(package.__path__[0])
    experiment(root / "a", GOOD.format(name="a"))
    experiment(root / "b", text)
    experiment(root / "c", GOOD.format(name="c"))
    defs = loaded(package)
    assert {key for key in keys(defs) if key.startswith("b/")} == {"b/faulty"}
    assert {"a/predictor", "c/predictor"} <= keys(defs)
    node = defs.resolve_asset_graph().get(dg.AssetKey(["b", "faulty"]))
    assert f"`{place}`" in node.description
    assert remedy in node.description


NAMES = (
    "b copy", "b.v2", "b-2", "ünï", "日本", "2024", "class", "context", "B", "_b", "b" * 200,
    "it's", "x:y", "-b", "notebook", "team/b copy", "team.x/b",
)  # fmt: skip


@pytest.mark.parametrize("label", ["label", "lable"])
def test_a_folder_may_have_any_name(package: ModuleType, label: str) -> None:
    """Each loads or shows its own fault, and `aiqc check` finds the same ones faulty."""
    root = Path(package.__path__[0])
    experiment(root / "a", GOOD.format(name="a"))
    for number, name in enumerate(NAMES):
        text = GOOD.format(name=f"e{number}").replace("label:", f"{label}:")
        experiment(root / name, text)
    found = declaration.discover(root)
    assert len(found) == len(NAMES) + 1
    defs = loaded(package)
    graph = defs.resolve_asset_graph()
    faults = [key for key in graph.get_all_asset_keys() if key.path[-1] == "faulty"]
    sound = {key.split("/")[0] for key in keys(defs)} - {key.path[0] for key in faults}
    if label == "label":
        assert (faults, len(sound)) == ([], len(NAMES) + 1)
        assert not any(one.faults for one in found)
        return
    assert (len(faults), sound) == (len(NAMES), {"a"})
    shown = " ".join(str(graph.get(key).metadata["files"].value) for key in faults)
    assert all(str(one.file) in shown for one in found if one.faults)


def test_names_that_are_one_after_cleaning_stay_apart(package: ModuleType) -> None:
    root = Path(package.__path__[0])
    for name in ("b_c", "b c", "b-c", "b_c.py"):
        if name.endswith(".py"):
            (root / name).write_text("1 / 0\n", encoding="utf-8")
        else:
            experiment(root / name, "type: [\n")
    assert len({key for key in keys(loaded(package)) if "/faulty" in key}) == 4


@pytest.mark.parametrize(
    ("names", "faulty_folder"),
    [(["predict", "label"], None), (["retrain_x", "x_dataset"], None), (["up", "up_"], "e1")],
)
def test_experiments_may_have_names_that_dagster_joins_alike(
    package: ModuleType, names: list[str], faulty_folder: str | None
) -> None:
    root = Path(package.__path__[0])
    for number, name in enumerate(names):
        experiment(root / f"e{number}", GOOD.format(name=name))
    found = keys(loaded(package))
    assert {key for key in found if "faulty" in key} == (
        {f"{faulty_folder}/faulty"} if faulty_folder else set()
    )
    assert f"{names[0]}/predictor" in found


def test_what_cannot_stand_beside_an_experiment_is_shown(package: ModuleType) -> None:
    root = Path(package.__path__[0])
    experiment(root / "a", GOOD.format(name="a"))
    text = "import dagster as dg\n\n\n@dg.asset(key=['a', 'dataset'])\ndef twice(): ...\n"
    (root / "mine.py").write_text(text, encoding="utf-8")
    assert {"a/predictor", "mine/faulty"} <= keys(loaded(package))


def test_a_module_that_ends_the_process_takes_no_location_down(package: ModuleType) -> None:
    root = Path(package.__path__[0])
    experiment(root / "a", GOOD.format(name="a"))
    (root / "own").mkdir()
    (root / "own" / "assets.py").write_text("import sys\nsys.exit(3)\n")
    defs = loaded(package)
    assert "a/predictor" in keys(defs)
    (faulty,) = (key for key in keys(defs) if key.endswith("/faulty"))
    node = defs.resolve_asset_graph().get(dg.AssetKey(faulty.split("/")))
    assert "SystemExit: 3" in node.description


def test_beside_a_faulty_folder_the_rest_of_its_parent_loads(package: ModuleType) -> None:
    root = Path(package.__path__[0])
    experiment(root / "team" / "b", "type: [\n")
    experiment(root / "team" / "c", GOOD.format(name="c"))
    text = "import dagster as dg\n\n\n@dg.asset\ndef report(): ...\n"
    (root / "team" / "mine.py").write_text(text, encoding="utf-8")
    experiment(root / "c2", GOOD.format(name="c2"))
    experiment(root / "c2" / "within", GOOD.format(name="within"))
    (root / "data").mkdir()
    (root / "data" / "rows.csv").write_text("x\n1\n")
    found = keys(loaded(package))
    assert {"team/b/faulty", "c/predictor", "report", "c2/dataset", "within/dataset"} <= found
    assert {key for key in found if "faulty" in key} == {"team/b/faulty"}


def test_a_declaration_under_a_name_that_nothing_reads_is_shown(
    package: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    root = Path(package.__path__[0])
    experiment(root / "a", GOOD.format(name="a"))
    experiment(root / "b", GOOD.format(name="b"))
    (root / "b" / "defs.yaml").rename(root / "b" / "defs.yml")
    defs = loaded(package)
    assert {"a/predictor", "b/faulty"} <= keys(defs)
    node = defs.resolve_asset_graph().get(dg.AssetKey(["b", "faulty"]))
    assert "rename it to 'defs.yaml'" in node.description
    assert f"{root / 'b' / 'defs.yml'}: is not read" in caplog.text


ASSET = "import dagster as dg\n\n\n@dg.asset\ndef {name}(): ...\n"
CLASH = (
    "import dagster as dg\n\n\n@dg.definitions\ndef defs():\n"
    "    return dg.Definitions(resources={'metastore': 1})\n"
)
FAULTY = {
    "top.py": "1 / 0\n", "exits/own.py": "import sys\nsys.exit(3)\n", "dot/a.b.py": "x = 1\n",
    "dotted.v1/m.py": "x = 1\n", "clash/own.py": CLASH, "hidden/.defs.yaml": GOOD,
    "typo/defs.ymal": GOOD, "blank/defs.yaml ": GOOD, "bare/defs": GOOD, "a/defs2.yaml": GOOD,
    "json/defs.json": '{"name": "json", "pipeline": {}, "training": {}}',
    "many/experiments.py": "import aiqc_core as a\n\nEXPERIMENTS = list()\n",
    "other/defs.yaml": "type: no.such.Component\n", "b\udce9/defs.yaml": GOOD,
}  # fmt: skip
SOUND = {
    "assets.py": ASSET.format(name="one"), "team/assets.py": ASSET.format(name="two"),
    "team/whole.py": ASSET.format(name="three") + "\n\ndefs = dg.Definitions(assets=[three])\n",
    "exits/beside.py": ASSET.format(name="four"), "a/defs.yml": GOOD.format(name="a"),
    "a/scratch.py": "1 / 0\n", "_private.py": "1 / 0\n", "data/settings.yaml": "x: 1\n",
    "data/.#lock.py": "", "__pycache__/defs.yml": GOOD, "group/defs.yaml": (
        "type: dagster.DefsFolderComponent\npost_processing:\n  assets:\n"
        "    - attributes: { tags: { seen: 'yes' } }\n"
    ),
    "group/assets.py": ASSET.format(name="five"),
}  # fmt: skip


def test_check_and_dagster_find_the_same_faults(package: ModuleType) -> None:
    root = Path(package.__path__[0])
    experiment(root / "a", GOOD.format(name="a"))
    experiment(root / "group" / "below", GOOD.format(name="below"))
    for number, (name, text) in enumerate((FAULTY | SOUND).items()):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        full = text.format(name=f"e{number}") if text == GOOD else text
        (root / name).write_text(full, encoding="utf-8")
    for link, target in (("dangling/defs.yaml", "/no/file"), ("a/loop", "..")):
        (root / link).parent.mkdir(exist_ok=True)
        (root / link).symlink_to(target)
    (root / "folder" / "defs.yaml").mkdir(parents=True)
    defs = loaded(package)
    graph = defs.resolve_asset_graph()
    faults = [key for key in graph.get_all_asset_keys() if key.path[-1].startswith("faulty")]
    shown = {file for key in faults for file in graph.get(key).metadata["files"].value}
    checked = json.loads(CliRunner().invoke(app, ["check", str(root), "--json"]).stdout)
    reported = {one["file"] for one in checked["declarations"] if one["faults"]}
    wanted = {*FAULTY, "dangling/defs.yaml", "a/loop", "folder/defs.yaml"}
    where = {"other/defs.yaml": "other", "b\udce9/defs.yaml": r"b\xe9/defs.yaml"}
    assert shown == reported == {str(root / where.get(name, name)) for name in wanted}
    sound = keys(defs) - {key.to_user_string() for key in faults}
    assert {key for key in sound if "/" not in key} == {"one", "two", "three", "four", "five"}
    assert {key.split("/")[0] for key in sound if "/" in key} == {"a", "below"}
    for key in ("five", "below/dataset"):
        assert graph.get(dg.AssetKey.from_user_string(key)).tags["seen"] == "yes"


def test_materialising_a_fault_fails_with_it_and_its_check_is_red(tmp_path: Path) -> None:
    experiment(tmp_path / "b", GOOD.format(name="b").replace("label:", "lable:"))
    [found] = declaration.discover(tmp_path)
    key = invalid.key_of(found.folder, tmp_path)
    with dg.DagsterInstance.ephemeral() as instance:
        assets = list(invalid.build(key, found.faults).assets or [])
        done = dg.materialize(assets, instance=instance, raise_on_error=False)
        assert not done.success
        [check] = done.get_asset_check_evaluations()
        assert (check.passed, check.check_name, check.asset_key) == (False, invalid.CHECK, key)
        [event] = done.filter_events(lambda event: event.is_step_failure)
        assert "lable: no such key. Did you mean 'label'?" in event.step_failure_data.error.message


def test_what_python_raises_on_import_is_shown_too(package: ModuleType) -> None:
    root = Path(package.__path__[0])
    experiment(root / "a", GOOD.format(name="a"))
    for name, text in (("b", "import no_such_module\n"), ("c", "x = 1\n")):
        (root / name).mkdir()
        (root / name / "experiment.py").write_text(text, encoding="utf-8")
    (root / "assets.py").write_text("1 / 0\n", encoding="utf-8")
    assert {"assets/faulty", "b/faulty", "c/faulty", "a/predictor"} <= keys(loaded(package))


def test_assets_of_the_user_stand_beside_experiments(package: ModuleType) -> None:
    root = Path(package.__path__[0])
    experiment(root / "a", GOOD.format(name="a"))
    (root / "mine.py").write_text(
        "import dagster as dg\n\n\n@dg.asset(deps=[dg.AssetKey(['a', 'leaderboard'])])\n"
        "def report(): ...\n",
        encoding="utf-8",
    )
    graph = loaded(package).resolve_asset_graph()
    assert graph.get(dg.AssetKey("report")).parent_keys == {dg.AssetKey(["a", "leaderboard"])}


def test_a_component_made_in_python_is_looked_at_the_same_way(package: ModuleType) -> None:
    root = Path(package.__path__[0])
    experiment(root / "mine", "")
    (root / "mine" / "defs.yaml").unlink()
    (root / "mine" / "component.py").write_text(
        "import dagster as dg\n"
        "from aiqc_dagster.component import ExperimentComponent\n\n\n"
        "@dg.component_instance\n"
        "def load(context):\n"
        "    given = {'source': 'row.csv', 'pipeline': {}, 'training': {}}\n"
        "    return ExperimentComponent(name='mine', **given)\n",
        encoding="utf-8",
    )
    node = loaded(package).resolve_asset_graph().get(dg.AssetKey(["mine", "faulty"]))
    assert "source: no file 'row.csv' beside" in node.description
    assert "fn_build is missing" in node.description


def test_each_shipped_experiment_shows_the_line_that_declares_it() -> None:
    node = definitions.defs.resolve_asset_graph().get(dg.AssetKey(["iris", "dataset"]))
    [reference] = node.metadata["dagster/code_references"].code_references
    assert Path(reference.file_path).parts[-2:] == ("iris", "defs.yaml")


@pytest.mark.slow
def test_a_scaffolded_experiment_runs_as_it_is(
    home: Path, dagster_home: Path, tmp_path: Path
) -> None:
    """`aiqc init mine && dagster job execute … -j retrain_mine`, in a copy of the project."""
    copy = tmp_path / "project"
    for name in ("aiqc_core", "aiqc_dagster"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    programs = Path(sys.executable).parent

    def run(*command: str) -> str:
        done = subprocess.run(
            [programs / command[0], *command[1:]], cwd=copy, capture_output=True, text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(copy), EXECUTOR_VARIABLE: "in_process"},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    run("aiqc", "init", "mine")
    assert "sound  aiqc_dagster/defs/mine/defs.yaml: mine" in run("aiqc", "check")
    reported = run(
        "dagster", "job", "execute", "-m", "aiqc_dagster.definitions", "-j", "retrain_mine"
    )
    assert "2 trained, 0 found, of 2 Jobs" in reported
    assert config.database_path().exists()
    assert Predictor.select().count() == 2
    assert "Best by mean validation accuracy" in run("aiqc", "leaderboard", "mine")
