"""Find files that are meant as declarations, and are not read under their names."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from aiqc_core.experiment.declaration import text
from aiqc_core.experiment.declaration.faults import Fault
from aiqc_core.experiment.declaration.reading import ATTRIBUTES, COMPONENT, is_component
from aiqc_core.stages.ingest.tabular import FORMATS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

YAML_NAME, PYTHON_NAME = "defs.yaml", "experiment.py"
OTHER_NAMES = ("defs.yml", "component.yaml")  # which Dagster reads where there is no defs.yaml
READ = {YAML_NAME, PYTHON_NAME}
YAML_FILE = re.compile(r".+\.y[aml]{2,3}(\W*|\W\w+)", re.IGNORECASE)
YAML_LIKE = re.compile(r"(defs?|components?|experiments?)(\.y[aml]{2,3}.*)?~?", re.IGNORECASE)
PYTHON_FILE = re.compile(r".+\.py(\W*|\W\w+)", re.IGNORECASE)
STEMS = ("defs", "component", "experiment")
BESIDE = {"functions.py", "__init__.py"}  # what defines nothing by itself
OWN_KEYS = {"pipeline", "training"}
# What is no text and no number, nor a list of them.
DECLARES = re.compile(r"^EXPERIMENTS?\b[^=\n]*=\s*(?![\[({]?\s*[\"'\d])[^\s=]", re.MULTILINE)
OF_AIQC = re.compile(r"Experiment\b|\baiqc")
NAME = re.compile(r"\bname\s*=\s*['\"](\w+)")
FUNCTIONS = re.compile(r"^(async )?def fn_(build|train)\b", re.MULTILINE)
MOST_BYTES = 1_000_000
RENAME = "is not read under this name; rename it to {!r}, {}."


def find(folder: Path, declared: Iterable[Path] = ()) -> Iterator[Fault]:
    """Yield what is meant as a declaration in a folder, and is not read.

    `declared` are the files that are read. Copies beside them are no faults, and functions in a
    folder that one of them mentions are theirs.
    """
    children = sorted(folder.iterdir())
    yield from (fault for child in children for fault in _broken(child))
    read = "\n".join(_content(file) for file in declared if file.parent == folder)
    visible = [file for file in children if not file.name.startswith(".") or file.name[1:] in READ]
    files = [file for file in visible if file.is_file() and file.name not in READ]
    where = "in a folder of its own" if read else f"in {folder.name}/"
    named: list[Fault] = []
    for file in files:
        if _is_yaml(file, read):
            named.append(Fault(file, None, RENAME.format(YAML_NAME, where)))
        if _is_python(file, read):
            own = " Each EXPERIMENT has its own file."
            named.append(Fault(file, None, RENAME.format(PYTHON_NAME, where) + own))
    yield from named
    if not (named or read or any(folder.name in _content(file) for file in declared)):
        yield from _undeclared(folder, files)


def _broken(child: Path) -> Iterator[Fault]:
    """Yield why a path with the name of a declaration or module is none."""
    message = None
    if child.is_dir():
        if child.name in {*READ, *OTHER_NAMES}:
            message = "is a folder; a declaration is a file. Rename it."
        elif child.is_symlink() and child.parent.resolve().is_relative_to(child.resolve()):
            message = "is a link to a folder that it is in, and is not followed; remove it."
    elif child.is_symlink() and not child.exists() and child.suffix in {".py", ".yaml", ".yml"}:
        message = f"is a link to {child.readlink()}, which is not there; correct or remove it."
    if message is not None and not child.name.startswith("."):
        yield Fault(child, None, message)


def _is_python(file: Path, read: str) -> bool:
    """Return whether a file defines an experiment other than those that are read."""
    if not PYTHON_FILE.fullmatch(file.name):
        return False
    content = _content(file)
    if not (DECLARES.search(content) and OF_AIQC.search(content)):
        return False
    names = NAME.findall(content)
    return not read or (bool(names) and not _is_mentioned(read, file.stem, *names))


def _is_yaml(file: Path, read: str) -> bool:
    """Return whether the content is a declaration; the name decides where it cannot be read."""
    stem, suffix = file.name.lstrip(".").partition(".")[0].lower(), file.suffix.lower()
    is_like = bool(get_close_matches(stem, STEMS)) and suffix not in {*FORMATS, ".py"}
    if not (is_like or YAML_FILE.fullmatch(file.name)) or file.stat().st_size > MOST_BYTES:
        return False
    documents, faults = text.read(file)
    if not documents:
        is_named = bool(YAML_LIKE.fullmatch(file.name.lstrip(".")))
        return is_named and not read and (bool(faults) or not _content(file).strip())
    declared = [_declared_name(document.data) for document in documents]
    names = [name for name in declared if name is not None]
    return any(not read or (name and not _is_mentioned(read, name)) for name in names)


def _declared_name(data: Any) -> str | None:
    """Return the name that a declaration gives, '' without one; None where it declares nothing."""
    attributes = data.get(ATTRIBUTES, data) if isinstance(data, dict) else None
    if is_component(data):
        if not get_close_matches(str(data["type"]), [COMPONENT]):
            return None
    elif not (isinstance(attributes, dict) and set(attributes) >= OWN_KEYS):
        return None
    return str(attributes.get("name") or "") if isinstance(attributes, dict) else ""


def _is_mentioned(read: str, *names: str) -> bool:
    return any(re.search(rf"\b{re.escape(name)}\b", read) for name in names)


def _undeclared(folder: Path, files: list[Path]) -> Iterator[Fault]:
    data = [file.name for file in files if file.suffix.lower() in FORMATS]
    functions = folder / "functions.py"
    alone = all(file.name in BESIDE for file in files if file.suffix == ".py")
    if data and alone and functions.is_file() and FUNCTIONS.search(_content(functions)):
        message = (
            f"stands beside {data[0]} and no declaration, so nothing trains; declare the "
            f"experiment in {folder.name}/{YAML_NAME} (`aiqc init NAME` makes one to start from)."
        )
        yield Fault(functions, None, message)


def _content(file: Path) -> str:
    try:
        with file.open(encoding="utf-8-sig") as opened:
            return opened.read(MOST_BYTES)
    except (OSError, UnicodeDecodeError):
        return ""
