"""Files that can only be meant as a declaration, and that nothing reads under their name."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from aiqc_core.declaration import text
from aiqc_core.declaration.faults import Fault
from aiqc_core.declaration.reading import ATTRIBUTES, COMPONENT, is_component
from aiqc_core.ingest.tabular import FORMATS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

YAML_NAME, PYTHON_NAME = "defs.yaml", "experiment.py"
YAML_FILE = re.compile(r".+\.(ya?ml|ya?ml\.\w+|ya?ml~)|defs", re.IGNORECASE)
YAML_LIKE = re.compile(r"(defs?|components?|experiments?)(\.ya?ml.*)?~?", re.IGNORECASE)
PYTHON_FILE = re.compile(r".+\.py(\.txt|\.bak|~)?", re.IGNORECASE)
BESIDE = {"functions.py", "__init__.py"}  # what defines nothing by itself
OWN_KEYS = {"pipeline", "training"}
DECLARES = re.compile(r"^EXPERIMENTS?\b[^=\n]*=[^=]", re.MULTILINE)
FUNCTIONS = re.compile(r"^(async )?def fn_(build|train)\b", re.MULTILINE)
MOST_BYTES = 1_000_000


def find(folder: Path, declared: Iterable[Path] = ()) -> Iterator[Fault]:
    """Yield what is meant as a declaration in a folder that holds none which is read.

    Args:
        folder: one that has neither `defs.yaml` nor `experiment.py`.
        declared: the files that are read; functions in a folder that one of them mentions are
            theirs.
    """
    files = sorted(f for f in folder.iterdir() if f.is_file() and not f.name.startswith("."))
    named = [
        _renamed(file, right)
        for file in files
        for right, is_meant in ((YAML_NAME, _is_yaml), (PYTHON_NAME, _is_python))
        if is_meant(file)
    ]
    yield from named
    if not named and not any(folder.name in _content(file) for file in declared):
        yield from _undeclared(folder, files)


def _is_python(file: Path) -> bool:
    """Say whether a file defines an experiment under the name that is looked for."""
    if not PYTHON_FILE.fullmatch(file.name):
        return False
    content = _content(file)
    return bool(DECLARES.search(content)) and "Experiment(" in content


def _is_yaml(file: Path) -> bool:
    """Say whether the content is a declaration's; of what cannot be read, the name decides."""
    if not YAML_FILE.fullmatch(file.name) or file.stat().st_size > MOST_BYTES:
        return False
    documents, faults = text.read(file)
    if not documents:
        return bool(YAML_LIKE.fullmatch(file.name)) and (
            bool(faults) or not _content(file).strip()
        )
    return any(_declares(document.data) for document in documents)


def _declares(data: Any) -> bool:
    if not isinstance(data, dict):
        return False
    if is_component(data):
        return bool(get_close_matches(str(data["type"]), [COMPONENT]))
    attributes = data.get(ATTRIBUTES, data)
    return isinstance(attributes, dict) and set(attributes) >= OWN_KEYS


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


def _renamed(file: Path, right: str) -> Fault:
    message = f"is not read under this name; rename it to {right!r}, in {file.parent.name}/."
    return Fault(file, None, message)


def _content(file: Path) -> str:
    try:
        with file.open(encoding="utf-8-sig") as opened:
            return opened.read(MOST_BYTES)
    except (OSError, UnicodeDecodeError):
        return ""
