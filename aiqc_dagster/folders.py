"""What lies under `defs/`: experiments in YAML or Python, and anything else that Dagster loads.

Each folder is loaded by itself, so that one that is wrong is shown and the others work.
"""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from aiqc_core import declaration
from aiqc_core.declaration import Fault, Found
from aiqc_dagster import bundle, faulty

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

PYTHON = ".py"


def load(package: ModuleType) -> list[dg.Definitions]:
    """Return the definitions of each folder and module of a package."""
    root = root_of(package)
    found = declaration.discover(root)
    children = [
        child
        for child in sorted(root.iterdir())
        if not child.name.startswith((".", "_")) and (child.is_dir() or child.suffix == PYTHON)
    ]
    return [part for child in children for part in _load(package.__name__, root, child, found)]


def root_of(package: ModuleType) -> Path:
    """Return the folder of a package."""
    return Path(next(iter(package.__path__)))


def _load(
    package: str, root: Path, child: Path, found: Sequence[Found]
) -> Iterator[dg.Definitions]:
    inside = [one for one in found if one.file.is_relative_to(child)]
    wrong = [one for one in inside if one.faults]
    for one in wrong:
        yield faulty.build(faulty.key_of(one.folder, root), one.faults)
    experiments = [one.experiment for one in inside if one.experiment and not one.faults]
    try:
        if wrong or any(one.file.suffix == PYTHON for one in inside):
            yield from map(bundle.of_experiment, experiments)
        else:
            yield _by_dagster(package, root, child)
    except Exception as error:  # noqa: BLE001 - whatever a folder raises, the others have to load
        cause = _root_of(error)
        message = f"Dagster cannot load it: {type(cause).__name__}: {cause}"
        fault = Fault(child, None, message)
        yield faulty.build(faulty.key_of(child.with_suffix(""), root), [fault])


def _by_dagster(package: str, root: Path, child: Path) -> dg.Definitions:
    """Load a folder or a module as Dagster's own loader does, in a tree of its own."""
    module = importlib.import_module(f"{package}.{child.stem}")
    with (
        warnings.catch_warnings()
    ):  # the line of the YAML that each asset shows is beta, and wanted
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        # Dagster's loader calls a function that pydantic has deprecated.
        warnings.filterwarnings("ignore", "`parse_obj_as` is deprecated", DeprecationWarning)
        if child.is_file():
            return dg.load_definitions_from_module(module)
        tree = dg.ComponentTree.from_module(defs_module=module, project_root=root)
        return tree.build_defs_at_path(child)


def _root_of(error: BaseException) -> BaseException:
    """Return what an error was raised from, at the bottom: Dagster wraps it in its whole tree."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error
