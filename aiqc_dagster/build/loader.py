"""Load what is under `defs/`: experiments in YAML or Python, and all else that Dagster loads.

Each part loads by itself: a faulty one is shown and the others work.
"""

from __future__ import annotations

import importlib
import logging
import warnings
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import dagster as dg

from aiqc_core.experiment import declaration
from aiqc_core.experiment.declaration import FOLDER, MODULE, Fault, Found, package_of
from aiqc_dagster.build import invalid
from aiqc_dagster.build.experiment import of_experiment, whole
from aiqc_dagster.executors._dagster_internals import (
    ComponentPath,
    build_filesystem_component_decl_from_context,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import ModuleType

logger = logging.getLogger(__name__)


def load(package: ModuleType) -> list[dg.Definitions]:
    """Return the definitions of all that a package holds."""
    parts, faults = _loaded(package)
    for fault in faults:
        logger.warning("%s", fault)
    return parts


def faults(root: Path) -> list[Fault]:
    """Return all faults that the code location of a folder shows; none where it is no package."""
    package = package_of(root.absolute())
    return [] if package is None else _loaded(importlib.import_module(package))[1]


def _loaded(package: ModuleType) -> tuple[list[dg.Definitions], list[Fault]]:
    place = _Place(package)
    with warnings.catch_warnings():
        # The line of the YAML that each asset shows is beta, and wanted.
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        # Dagster's loader calls a function that pydantic has deprecated.
        warnings.filterwarnings("ignore", "`parse_obj_as` is deprecated", DeprecationWarning)
        return place.load(), place.faults


def root_of(package: ModuleType) -> Path:
    """Return the folder of a package."""
    return Path(next(iter(package.__path__)))


class _Part(NamedTuple):
    """What was loaded, and from where."""

    path: Path
    definitions: dg.Definitions


class _Place:
    """The folder of declarations, and the `faults` of what was loaded so far."""

    def __init__(self, package: ModuleType) -> None:
        self.faults: list[Fault] = []
        self._package, self._root = package, root_of(package)
        self._found = declaration.survey(self._root)
        self._taken: set[dg.AssetKey] = set()

    def load(self) -> list[dg.Definitions]:
        """Return the parts; a fault replaces one that clashes with the others."""
        files = dict.fromkeys(one.file for one in self._found)
        wholes = [one for one in self._found if one.kind.endswith(FOLDER) and self._is_whole(one)]
        parts = [
            part
            for file in files
            if not any(file != one.file and file.is_relative_to(one.folder) for one in wholes)
            for part in self._of_file([one for one in self._found if one.file == file], wholes)
        ]
        if _stand_together([part.definitions for part in parts]):
            return [part.definitions for part in parts]
        kept: list[dg.Definitions] = []
        for part in parts:
            kept.append(self._guarded(part.path, partial(_beside, kept, part)).definitions)
        return kept

    def _of_file(self, found: Sequence[Found], wholes: Sequence[Found]) -> Iterator[_Part]:
        """Load a file: as a whole by Dagster's own loader where that shows all that it holds."""
        first = found[0]
        if all(not one.faults and self._is_dagsters(one) for one in found):
            if first in wholes or not first.kind.endswith(FOLDER):
                yield self._guarded(first.place, lambda: self._by_dagster(first.place))
            return
        for one in found:
            if one.faults:
                yield self._faulty(one.place, one.faults, one.document)
            elif (experiment := one.experiment) is not None:
                yield self._guarded(one.place, partial(of_experiment, experiment))
            else:
                at = None if one.kind == MODULE else one.document
                yield self._guarded(one.place, partial(self._by_dagster, one.place, at))

    def _is_dagsters(self, one: Found) -> bool:
        """Say whether Dagster can load what was found: Python cannot import a name with a dot."""
        names = one.folder.relative_to(self._root).parts
        own = one.experiment is None or one.file.suffix != ".py"
        return own and not any("." in name for name in names)

    def _is_whole(self, folder: Found) -> bool:
        """Say whether Dagster can load all that is below a component that is a folder."""
        inside = [one for one in self._found if one.file.is_relative_to(folder.folder)]
        ours = [one.folder for one in inside if one.experiment is not None]
        nested = any(a != b and a.is_relative_to(b) for a in ours for b in ours)
        return not nested and all(not one.faults and self._is_dagsters(one) for one in inside)

    def _guarded(self, path: Path, make: Callable[[], dg.Definitions]) -> _Part:
        """Return what `make` returns; show what it raises, so that the others load."""
        try:
            return _Part(path, make())
        except (Exception, SystemExit) as error:  # noqa: BLE001 - as above
            cause = error
            while cause.__cause__ is not None:  # Dagster wraps what was raised in its whole tree
                cause = cause.__cause__
            message = f"Dagster cannot load it: {type(cause).__name__}: {cause}"
            return self._faulty(path, [Fault(path, None, message)])

    def _faulty(self, path: Path, faults: Sequence[Fault], document: int = 0) -> _Part:
        keys = (invalid.key_of(path, self._root, number) for number in count(document))
        key = next(key for key in keys if key not in self._taken)
        self._taken.add(key)
        self.faults.extend(faults)
        return _Part(path, invalid.build(key, faults))

    def _by_dagster(self, path: Path, document: int | None = None) -> dg.Definitions:
        """Load a folder or a module as Dagster's own loader does, as all that there is."""
        tree = dg.ComponentTree.from_module(defs_module=self._package, project_root=self._root)
        at = tree.decl_load_context.for_component_loc(ComponentPath.from_path(path))
        declared = build_filesystem_component_decl_from_context(at)
        root = ComponentPath.from_path(tree.defs_module_path)
        tree.state_tracker.set_cache_data(root, component_decl=declared)
        return tree.build_defs_at_path(ComponentPath.from_path(path, document))


def _stand_together(parts: Sequence[dg.Definitions]) -> bool:
    try:
        whole(*parts).get_repository_def()
    except Exception:  # noqa: BLE001 - which of them it is, and why, is looked for next
        whole().get_repository_def()  # what is wrong without them is no fault of theirs
        return False
    return True


def _beside(kept: Sequence[dg.Definitions], part: _Part) -> dg.Definitions:
    """Return a part that can stand beside those kept."""
    whole(*kept, part.definitions).get_repository_def()
    return part.definitions
