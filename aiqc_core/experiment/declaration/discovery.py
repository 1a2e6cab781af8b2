"""Find what a folder of declarations holds: experiments, and all else that Dagster loads.

`aiqc check` and the code location both use `survey`, so they report the same faults.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from aiqc_core.errors import DeclarationError, NotFoundError
from aiqc_core.experiment import Experiment
from aiqc_core.experiment.declaration import names, text, unread
from aiqc_core.experiment.declaration.faults import Fault, of_exception
from aiqc_core.experiment.declaration.reading import COMPONENT, examine, header, is_component
from aiqc_core.experiment.declaration.unread import OTHER_NAMES, PYTHON_NAME, YAML_NAME
from aiqc_core.experiment.workflow.data import unknown
from aiqc_core.wording import dotted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import ModuleType

MODULE = "module"
FOLDER = "DefsFolderComponent"  # Dagster's: it loads all that is below it


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that was found.

    Attributes:
        file: where it is written.
        experiment: what it declares; None where it cannot be made, or Dagster loads it.
        faults: all that is wrong; with a fault it must not be run.
        document: its index in a YAML file.
        line: its first line.
        kind: the type of its component, or `'module'` for Python that defines assets and the like.
    """

    file: Path
    experiment: Experiment | None
    faults: tuple[Fault, ...]
    document: int = 0
    line: int = 1
    kind: str = COMPONENT

    @property
    def folder(self) -> Path:
        """The folder that holds the file."""
        return self.file.parent

    @property
    def place(self) -> Path:
        """The path that names it in Dagster: the file of a module, else the folder."""
        return self.file if self.kind == MODULE else self.folder


def discover(path: Path, *, deep: bool = False) -> list[Found]:
    """Find every declaration at a path, and all else that is faulty there; see `survey`."""
    return [one for one in survey(path, deep=deep) if one.experiment is not None or one.faults]


def survey(path: Path, *, deep: bool = False) -> list[Found]:
    """Find and read every declaration at a path, and what else Dagster loads there.

    Modules are imported where the path is a package, as Dagster does. Those that stand beside a
    declaration, or below it, are its own and not looked at.

    Args:
        path: a YAML file, `experiment.py`, or a folder in which they are at any depth.
        deep: see `examine`.

    Returns:
        By file. Of several experiments of one name, all but the first have a fault that says so.

    Raises:
        NotFoundError: no such file or folder.
    """
    path = path.absolute()
    if not path.exists():
        raise NotFoundError(f"path: {path} is not there; give a declaration, or a folder of them.")
    if path.is_file():
        return list(_read(path, deep=deep, asked=True))
    places = list(_folders(path))
    files = [file for place in places for file in _declared(place)]
    found = list(_held(files, path, lambda file: _read(file, deep=deep)))
    read = [one.file for one in found]
    package = names.package_of(path)
    if package is not None or (path / "__init__.py").is_file():
        open_to_all = {one.folder for one in found if one.kind.endswith(FOLDER)}
        taken = {file.parent for file in files} - open_to_all
        free = [place for place in places if not taken & {place, *place.parents}]
        modules = [file for place in free for file in _modules(place, path)]
        found += _held(modules, path, lambda file: [_read_module(file, path, package)])
    misnamed = [
        Found(fault.file, None, (fault,))
        for place in places
        for fault in unread.find(place, read)
        if _as_text(fault.file) == str(fault.file)
    ]
    return [*_named_once(found), *misnamed]


def _folders(path: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Yield a folder and those below it, but for hidden ones, Python's own, and links upwards."""
    real = path.resolve()
    if real not in above:
        yield path
        for child in sorted(path.iterdir()):
            if child.is_dir() and _is_open(child):
                yield from _folders(child, (*above, real))


def _is_open(path: Path) -> bool:
    """Say whether what is at a path is looked at, by Dagster's own rule."""
    return not path.name.startswith(".") and path.name != "__pycache__"


def _declared(folder: Path) -> list[Path]:
    """Return the files of a folder that are read as declarations: ours, or Dagster's."""
    # This very name, also where the system takes `Defs.yaml` for it.
    there = {file.name for file in folder.iterdir() if file.is_file()}
    yaml = [name for name in (YAML_NAME, *OTHER_NAMES) if name in there][:1]
    return [folder / name for name in (*yaml, *({PYTHON_NAME} & there))]


def _modules(folder: Path, root: Path) -> list[Path]:
    """Return the Python files of a folder; what begins with `_` at the root is no one's."""
    return [
        file
        for file in sorted(folder.glob("*.py"))
        if _is_open(file) and file.is_file()
        if not file.relative_to(root).parts[0].startswith("_")
    ]


def _held(
    files: Iterable[Path], root: Path, read: Callable[[Path], Iterable[Found]]
) -> Iterator[Found]:
    """Yield what files hold; a file name that is no UTF-8 text is a fault."""
    for file in dict.fromkeys(files):
        shown = root / _as_text(file.relative_to(root))
        if shown == file:
            yield from read(file)
        else:
            message = "this name is no UTF-8 text, so that Dagster cannot show it; rename it."
            yield Found(shown, None, (Fault(shown, None, message),))


def _as_text(path: Path) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _read(file: Path, *, deep: bool, asked: bool = False) -> Iterator[Found]:
    if file.suffix == ".py":
        yield _read_python(file)
        return
    documents, faults = text.read(file)
    is_read = asked or file.name == YAML_NAME
    if is_read and not documents:
        yield Found(file, None, tuple(faults or [Fault(file, None, "is empty.")]))
    for position, document in enumerate(documents):
        kind = str(document.data["type"]) if is_component(document.data) else COMPONENT
        if not (asked or get_close_matches(kind, [COMPONENT])):
            yield Found(file, None, (), position, kind=kind)
        elif is_read:
            experiment, wrong = examine(file, document=position, deep=deep)
            if kind != COMPONENT:
                message = f"type: {kind!r} is no experiment; give {COMPONENT!r}."
                wrong = [Fault(file, document.line(("type",)), message)]
            line = document.line(("attributes", "name")) or 1
            yield Found(file, experiment, tuple(wrong), position, line)


def _read_python(file: Path) -> Found:
    """Import `experiment.py` and return its `EXPERIMENT`."""
    module, faults = _imported(file, lambda: names.module(f".{file.stem}", file.parent))
    if faults:
        return Found(file, None, faults)
    experiment = getattr(module, "EXPERIMENT", None)
    if isinstance(experiment, Experiment):
        return Found(file, experiment, tuple(_unknown_columns(file, experiment)))
    message = "defines no EXPERIMENT = Experiment(…); rename the file if it declares none."
    return Found(file, None, (Fault(file, None, message),))


def _read_module(file: Path, root: Path, package: str | None) -> Found:
    """Import a module under the name that Dagster gives it."""
    parts = [*file.relative_to(root).parent.parts, file.stem]
    path = ".".join([package or "", *parts]).removesuffix(".__init__")
    if any("." in part for part in parts):
        message = "a dot in the name of a module or of its folder hides it from Python; rename it."
        return Found(file, None, (Fault(file, None, message),), kind=MODULE)
    here = f".{file.stem}", file.parent
    get = partial(importlib.import_module, path) if package else partial(names.module, *here)
    return Found(file, None, _imported(file, get)[1], kind=MODULE)


def _imported(
    file: Path, get: Callable[[], ModuleType]
) -> tuple[ModuleType | None, tuple[Fault, ...]]:
    """Return what importing a user's file gives, or all that is wrong with it."""
    try:
        return get(), ()
    except DeclarationError as error:
        line = of_exception(error, file.parent, file).line
        return None, tuple(Fault(file, line, message) for message in str(error).splitlines())
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's module may raise anything
        return None, (of_exception(error, file.parent, file),)


def _unknown_columns(file: Path, experiment: Experiment) -> Iterator[Fault]:
    """Yield the columns that are named and that the header of the source's file has not."""
    source = experiment.source
    if not isinstance(source, Path) or not source.is_file():
        return
    try:
        known = header(source)
    except Exception as error:  # noqa: BLE001 - a broken file may raise anything
        yield Fault(file, None, f"source: reading it raised {type(error).__name__}: {error}")
        return
    for place, message in unknown(experiment.pipeline.model_dump(), known, known):
        yield Fault(file, None, f"{dotted(place)}: {message}")


def _named_once(found: list[Found]) -> Iterator[Found]:
    first: dict[str, Found] = {}
    for one in found:
        # Dagster joins names with "_", so that `a` and `a_` would name one step.
        name = None if one.experiment is None else one.experiment.name.rstrip("_")
        if one.experiment is None or name is None or first.setdefault(name, one) is one:
            yield one
            continue
        other = first[name]
        message = (
            f"name: {one.experiment.name!r} is the name of the experiment at "
            f"{other.file}:{other.line} too; give each its own."
        )
        yield replace(one, faults=(*one.faults, Fault(one.file, one.line, message)))
