"""The declarations under a folder: `defs.yaml` of our component, or `experiment.py`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from aiqc_core.chain.columns import as_written, unknown
from aiqc_core.declaration import columns, names, text, unread
from aiqc_core.declaration.faults import Fault, of_exception
from aiqc_core.declaration.reading import COMPONENT, examine, is_component
from aiqc_core.declaration.unread import PYTHON_NAME, YAML_NAME
from aiqc_core.errors import DeclarationError, NotFoundError
from aiqc_core.experiment import Experiment
from aiqc_core.wording import dotted

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Found:
    """One declaration that was found.

    Attributes:
        file: where it is written.
        experiment: what it declares; None where it cannot be made.
        faults: all that is wrong; with a fault the experiment must not be run.
        document: which of the documents of a YAML file.
        line: where it begins.
    """

    file: Path
    experiment: Experiment | None
    faults: tuple[Fault, ...]
    document: int = 0
    line: int = 1

    @property
    def folder(self) -> Path:
        """The folder that it is in, which names it where nothing else does."""
        return self.file.parent


def discover(path: Path, *, deep: bool = False) -> list[Found]:
    """Find and read every declaration at a path.

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
        message = f"path: {path} is not there; give a declaration, or a folder of them."
        raise NotFoundError(message)
    if path.is_file():
        return list(_read(path, deep=deep, asked=True))
    found = [
        one
        for folder in folders(path)
        for file in (folder / YAML_NAME, folder / PYTHON_NAME)
        if _is_there(file)
        for one in _read(file, deep=deep, asked=False)
    ]
    return [*_named_once(found), *_unread(path, [one.file for one in found])]


def folders(path: Path) -> list[Path]:
    """Return a folder and those below it, at any depth, but for hidden ones and Python's own."""
    below = (child for child in sorted(path.iterdir()) if child.is_dir() and is_open(child))
    return [path, *(folder for child in below for folder in folders(child))]


def is_open(path: Path) -> bool:
    """Say whether what lies at a path is looked at, by Dagster's own rule."""
    return not path.name.startswith(".") and path.name != "__pycache__"


def is_declared(folder: Path) -> bool:
    """Say whether a folder holds a file that is read as a declaration."""
    return any(_is_there(folder / name) for name in (YAML_NAME, PYTHON_NAME))


def _is_there(file: Path) -> bool:
    """Say whether a file has this very name, also where the system takes `Defs.yaml` for it."""
    return file.is_file() and any(file.name == other.name for other in file.parent.iterdir())


def _unread(path: Path, declared: list[Path]) -> Iterator[Found]:
    """Yield what is meant as a declaration and is none by its name."""
    for folder in folders(path):
        if not is_declared(folder):
            for fault in unread.find(folder, declared):
                yield Found(fault.file, None, (fault,))


def _read(file: Path, *, deep: bool, asked: bool) -> Iterator[Found]:
    if file.suffix == ".py":
        yield _read_python(file)
        return
    documents, faults = text.read(file)
    if not documents:
        yield Found(file, None, tuple(faults or [Fault(file, None, "is empty.")]))
    for position, document in enumerate(documents):
        kind = document.data["type"] if is_component(document.data) else COMPONENT
        if kind != COMPONENT and not (asked or get_close_matches(str(kind), [COMPONENT])):
            continue  # another component of Dagster's
        experiment, wrong = examine(file, document=position, deep=deep)
        if kind != COMPONENT:
            message = f"type: {kind!r} is no experiment; give {COMPONENT!r}."
            wrong = [Fault(file, document.line(("type",)), message)]
        line = document.line(("attributes", "name")) or 1
        yield Found(file, experiment, tuple(wrong), position, line)


def _read_python(file: Path) -> Found:
    """Import `experiment.py` and return its `EXPERIMENT`."""
    try:
        module = names.module(f".{file.stem}", file.parent)
    except DeclarationError as error:
        line = of_exception(error, file.parent, file).line
        wrong = [Fault(file, line, message) for message in str(error).splitlines()]
        return Found(file, None, tuple(wrong))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's module may raise anything; it is told
        return Found(file, None, (of_exception(error, file.parent, file),))
    experiment = getattr(module, "EXPERIMENT", None)
    if isinstance(experiment, Experiment):
        return Found(file, experiment, tuple(_unknown_columns(file, experiment)))
    message = "defines no EXPERIMENT = Experiment(…); rename the file if it declares none."
    return Found(file, None, (Fault(file, None, message),))


def _unknown_columns(file: Path, experiment: Experiment) -> Iterator[Fault]:
    """Yield the columns that are named and that the header of the source's file has not."""
    source = experiment.source
    if not isinstance(source, Path) or not source.is_file():
        return
    try:
        known = columns.header(source)
    except Exception as error:  # noqa: BLE001 - a broken file may raise anything
        yield Fault(file, None, f"source: reading it raised {type(error).__name__}: {error}")
        return
    for place, message in unknown(as_written(experiment.pipeline), known, known):
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
