"""Decide which code is the user's own, and which is installed and known by its name.

An installed package counts by its name and version. The user's own are the script or notebook,
the files beside it, editable installs, and whatever was made by `exec`.
"""

from __future__ import annotations

import functools
import importlib.util
import site
import sys
import sysconfig
import types
from importlib import metadata
from pathlib import Path
from typing import Any

import aiqc_core

FOLDERS = {"site-packages", "dist-packages"}
OURS = ("aiqc_core", "aiqc_dagster")
DECLARED = "aiqc_dagster.defs."  # experiments of the user's, in a folder of ours
# Looking through all that is installed takes a second; these are met often.
CALLED = {"sklearn": "scikit-learn", "yaml": "PyYAML", "PIL": "pillow", "cv2": "opencv-python"}


def is_installed(module: str | None) -> bool:
    """Say whether a module is part of Python, of an installed package or of AIQC."""
    if not module or module in {"__main__", "__mp_main__"}:
        return False
    top = module.partition(".")[0]
    if top in OURS:
        return not module.startswith(DECLARED)
    place = _place(sys.modules.get(module)) or _place(sys.modules.get(top)) or _spec_place(top)
    return top in sys.stdlib_module_names if place is None else _is_installed_at(place)


def name_of(value: Any) -> str | None:
    """Return `module.qualname` of what is found under that name in an installed module."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or not is_installed(module):
        return None
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return f"{module}.{name}" if found is value else None


def is_shared(method: Any) -> bool:
    """Say whether a method is a name of an installed module, as `random.random`, `np.random.rand`.

    What these are bound to is the generator of the process, which moves with each draw.
    """
    holder = method.__self__
    if holder is None or isinstance(holder, type | types.ModuleType):
        return False
    module = type(holder).__module__
    found = getattr(sys.modules.get(module), method.__name__, None)
    return found is not None and found == method and is_installed(module)


@functools.cache
def version_of(module: str) -> str:
    """Return the version of the package that a module is in; empty for Python's own.

    A build (`+cpu`, `+cu126`) may be each machine's own and does not count.
    """
    top = module.partition(".")[0]
    if top in OURS:
        return aiqc_core.__version__
    if top in sys.stdlib_module_names:
        return ""
    try:
        version = metadata.version(CALLED.get(top, top))
    except metadata.PackageNotFoundError:
        found = [] if top in CALLED else metadata.packages_distributions().get(top, [])
        version = metadata.version(found[0]) if found else ""
    return version.partition("+")[0]


def _place(module: Any) -> str | None:
    file = getattr(module, "__file__", None)
    if isinstance(file, str):
        return file
    path = getattr(module, "__path__", None)  # a package without __init__.py
    return next(iter(path), None) if path is not None else None


@functools.cache
def _spec_place(top: str) -> str | None:
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):  # __main__, or modules without a spec
        return None
    if spec is None or spec.has_location:
        return spec and spec.origin
    return next(iter(spec.submodule_search_locations or ()), None)


@functools.cache
def _is_installed_at(place: str) -> bool:
    path = Path(place).resolve()
    return bool(FOLDERS & {*Path(place).parts, *path.parts}) or any(
        path.is_relative_to(folder) for folder in _folders()
    )


@functools.cache
def _folders() -> set[Path]:
    folders = map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib"))
    sites = [*site.getsitepackages(), site.getusersitepackages()]
    return {Path(folder).resolve() for folder in [*folders, *sites]}
