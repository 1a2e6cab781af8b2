"""A folder with `defs.yaml` is an experiment; one that is wrong is shown, and the others load."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from aiqc_core import config, declaration
from aiqc_core.orm import Predictor
from aiqc_dagster import bundle, definitions, faulty, folders
from aiqc_dagster.execution import EXECUTOR_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

ROOT = Path(__file__).parents[2]
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
    defs = bundle.whole(*folders.load(package))
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
    defs = bundle.whole(tree.build_defs())
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


def test_materialising_a_fault_fails_with_it_and_its_check_is_red(tmp_path: Path) -> None:
    experiment(tmp_path / "b", GOOD.format(name="b").replace("label:", "lable:"))
    [found] = declaration.discover(tmp_path)
    key = faulty.key_of(found.folder, tmp_path)
    with dg.DagsterInstance.ephemeral() as instance:
        assets = list(faulty.build(key, found.faults).assets or [])
        done = dg.materialize(assets, instance=instance, raise_on_error=False)
        assert not done.success
        [check] = done.get_asset_check_evaluations()
        assert (check.passed, check.check_name, check.asset_key) == (False, faulty.CHECK, key)
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
    told = run("dagster", "job", "execute", "-m", "aiqc_dagster.definitions", "-j", "retrain_mine")
    assert "2 trained, 0 found, of 2 Jobs" in told
    assert config.database_path().exists()
    assert Predictor.select().count() == 2
    assert "Best by mean validation accuracy" in run("aiqc", "leaderboard", "mine")
