"""Import paths: `package.module.Name`, `package.module:Name`, `.module:Name` beside the file."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from typing import TYPE_CHECKING, Any

from aiqc_core.wording import did_you_mean

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType


class UnknownNameError(ValueError):
    """An import path that leads nowhere; the message says where it ends."""


def resolve(path: str, folder: Path) -> Any:
    """Return what an import path names; a leading dot stands for the folder.

    Raises:
        UnknownNameError: no such module, or no such name in it.
        Exception: whatever the module raises when it is imported.
    """
    module_path, _, name = path.rpartition(":" if ":" in path else ".")
    if not module_path or not name.isidentifier():
        raise UnknownNameError(
            f"{path!r} is no import path; give 'package.module.Name', or '.functions:name' for a "
            "file functions.py beside this one."
        )
    found = module(module_path, folder)
    if not hasattr(found, name):
        known = [n for n in vars(found) if not n.startswith("_")]
        raise UnknownNameError(f"{module_path!r} has no {name!r}. {did_you_mean(name, known)}")
    return getattr(found, name)


def module(path: str, folder: Path) -> ModuleType:
    """Import a module by its path.

    Raises:
        UnknownNameError: there is none.
        Exception: whatever it raises.
    """
    if path.startswith("."):
        return _beside(path.removeprefix("."), folder)
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{path}.".startswith(f"{error.name}."):
            raise  # the module is there, and imports one that is not
        remedy = "Check the spelling, and that it is installed or on PYTHONPATH."
        if folder.joinpath(*path.split(".")).with_suffix(".py").is_file():
            remedy = f"Did you mean '.{path}', the file beside this one?"
        raise UnknownNameError(f"no module {path!r}. {remedy}") from None


def package_of(folder: Path) -> str | None:
    """Return the import path of a folder inside a package that Python finds, else None."""
    names: list[str] = []
    for place in (folder, *folder.parents):
        if not place.name.isidentifier():
            return None
        names.insert(0, place.name)
        try:
            spec = importlib.util.find_spec(place.name)
        except (ValueError, ImportError):  # __main__ and the like have none
            spec = None
        locations = spec.submodule_search_locations if spec and spec.origin else None
        if locations and str(place) in locations:
            return ".".join(names)
    return None


def _beside(name: str, folder: Path) -> ModuleType:
    file = folder.joinpath(*name.split(".")).with_suffix(".py")
    if not file.is_file():
        known = [f".{path.stem}" for path in sorted(folder.glob("*.py"))]
        message = f"no file {file.name} beside the declaration. {did_you_mean(f'.{name}', known)}"
        raise UnknownNameError(message)
    package = package_of(folder)
    if package is not None:
        return importlib.import_module(f"{package}.{name}")
    return _from_file(name, file)


def _from_file(name: str, file: Path) -> ModuleType:
    """Import a file that no package holds, under a name of its own."""
    full = f"aiqc_declared_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}_{name}"
    if full in sys.modules:
        return sys.modules[full]
    spec = importlib.util.spec_from_file_location(full, file)
    if spec is None or spec.loader is None:
        raise UnknownNameError(f"{file} cannot be imported.")
    made = importlib.util.module_from_spec(spec)
    sys.modules[full] = made
    try:
        spec.loader.exec_module(made)
    except BaseException:
        del sys.modules[full]
        raise
    return made
