"""What lies under `defs/`: experiments in YAML or Python, and anything else that Dagster loads.

Each folder is loaded by itself, so that one that is wrong is shown and the others work.
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

from aiqc_core import declaration
from aiqc_core.declaration import Fault, Found
from aiqc_dagster import bundle, faulty

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import ModuleType

logger = logging.getLogger(__name__)

PYTHON = ".py"
LOADED = {PYTHON, ".yaml", ".yml"}


def load(package: ModuleType) -> list[dg.Definitions]:
    """Return the definitions of each folder and module of a package."""
    place = _Place(package.__name__, root_of(package))
    parts = list(place.at_root())
    for child in place.children(place.root):
        parts.extend(place.load(child))
    return place.together(parts)


def root_of(package: ModuleType) -> Path:
    """Return the folder of a package."""
    return Path(next(iter(package.__path__)))


class _Part(NamedTuple):
    """What was loaded, and from where."""

    path: Path
    definitions: dg.Definitions


class _Place:
    """The folder of declarations, and the keys under which faults in it are shown."""

    def __init__(self, package: str, root: Path) -> None:
        self.package = package
        self.root = root
        self.found = declaration.discover(root)
        self._taken: set[dg.AssetKey] = set()

    def at_root(self) -> Iterator[_Part]:
        """Load what stands in the folder itself."""
        yield from (self._declared(one) for one in self.found if one.folder == self.root)

    def children(self, folder: Path) -> list[Path]:
        """Return the folders and modules in a folder that may define something."""
        return [
            child
            for child in sorted(folder.iterdir())
            if declaration.is_open(child)
            and (self._holds_any(child) if child.is_dir() else _is_module(child))
        ]

    def load(self, path: Path) -> Iterator[_Part]:
        """Load a folder or a module: by Dagster's own loader where nothing in it is wrong."""
        inside = [one for one in self.found if one.file.is_relative_to(path)]
        if path.is_file() or self._is_dagsters(path, inside):
            yield self._guarded(path, lambda: self._by_dagster(path))
            return
        for one in inside:
            if one.folder == path:
                yield self._declared(one)
        for child in self.children(path):
            if child.is_dir() or not declaration.is_declared(path):
                yield from self.load(child)

    def together(self, parts: list[_Part]) -> list[dg.Definitions]:
        """Return the parts, of which one that cannot stand beside the others says so instead."""
        if not _stand_together([part.definitions for part in parts]):
            kept: list[dg.Definitions] = []
            for part in parts:
                kept.append(self._guarded(part.path, partial(_beside, kept, part)).definitions)
            return kept
        return [part.definitions for part in parts]

    def _is_dagsters(self, folder: Path, inside: Sequence[Found]) -> bool:
        """Say whether Dagster's loader shows all that a folder declares, and can import it."""
        plain = all(not one.faults and one.file.suffix != PYTHON for one in inside)
        nested = any(
            one.folder != other.folder and one.folder.is_relative_to(other.folder)
            for one in inside
            for other in inside
        )
        # Python takes what follows a dot for a module of its own.
        return plain and not nested and not any("." in part for part in _names(folder, self.root))

    def _holds_any(self, folder: Path) -> bool:
        if any(one.file.is_relative_to(folder) for one in self.found):
            return True
        if folder.name.startswith("_"):
            return False
        return any(file.suffix in LOADED for file in folder.rglob("*"))

    def _declared(self, one: Found) -> _Part:
        experiment = one.experiment
        if one.faults or experiment is None:
            return self._faulty(one.folder, one.faults, one.document)
        return self._guarded(one.folder, lambda: bundle.of_experiment(experiment))

    def _guarded(self, path: Path, make: Callable[[], dg.Definitions]) -> _Part:
        """Return what is made; whatever it raises is shown, for the others have to load."""
        try:
            return _Part(path, make())
        except (Exception, SystemExit) as error:  # noqa: BLE001 - as above
            cause = _root_of(error)
            message = f"Dagster cannot load it: {type(cause).__name__}: {cause}"
            return self._faulty(path, [Fault(path, None, message)])

    def _faulty(self, path: Path, faults: Sequence[Fault], document: int = 0) -> _Part:
        numbers = count(document)
        key = next(
            key
            for number in numbers
            if (key := faulty.key_of(path, self.root, number)) not in self._taken
        )
        self._taken.add(key)
        for fault in faults:
            logger.warning("%s", fault)
        return _Part(path, faulty.build(key, faults))

    def _by_dagster(self, path: Path) -> dg.Definitions:
        """Load a folder or a module as Dagster's own loader does, in a tree of its own."""
        module = importlib.import_module(".".join([self.package, *_names(path, self.root)]))
        with (
            warnings.catch_warnings()
        ):  # the line of the YAML that each asset shows is beta, and wanted
            warnings.simplefilter("ignore", dg.BetaWarning)
            warnings.simplefilter("ignore", dg.PreviewWarning)
            # Dagster's loader calls a function that pydantic has deprecated.
            warnings.filterwarnings("ignore", "`parse_obj_as` is deprecated", DeprecationWarning)
            if path.is_file():
                return dg.load_definitions_from_module(module)
            tree = dg.ComponentTree.from_module(defs_module=module, project_root=self.root)
            return tree.build_defs_at_path(path)


def _names(path: Path, root: Path) -> list[str]:
    """Return the parts of a module's name below the package."""
    *above, last = path.relative_to(root).parts
    return [*above, last.removesuffix(PYTHON) if path.is_file() else last]


def _is_module(path: Path) -> bool:
    return path.suffix == PYTHON and not path.name.startswith("_")


def _stand_together(parts: Sequence[dg.Definitions]) -> bool:
    try:
        bundle.whole(*parts).get_repository_def()
    except Exception:  # noqa: BLE001 - which of them it is, and why, is looked for next
        bundle.whole().get_repository_def()  # what is wrong without them is no fault of theirs
        return False
    return True


def _beside(kept: Sequence[dg.Definitions], part: _Part) -> dg.Definitions:
    """Return a part that can stand beside those kept."""
    bundle.whole(*kept, part.definitions).get_repository_def()
    return part.definitions


def _root_of(error: BaseException) -> BaseException:
    """Return what an error was raised from, at the bottom: Dagster wraps it in its whole tree."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error
