"""Process-wide settings and generators: restored after a Job and to check its model."""

from __future__ import annotations

import os
import random
import sys
import types
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    Setting = tuple[Callable[[], Any], Callable[[Any], Any]]

LIBRARIES = ("torch", "torch.nn", "torch.nn.functional", "numpy", "keras", "tensorflow", "math",
             "builtins")  # fmt: skip
# What libraries set as they are loaded, and read again, stays.
OF_LIBRARIES = (
    "CUDA_", "KERAS_", "KMP_", "MKL_", "NCCL_", "OMP_", "OPENBLAS_", "PYTORCH_", "TF_", "TF2_",
    "TORCH", "XLA_",
)  # fmt: skip
OF_NUMPY: Setting = (np.geterr, lambda how: np.seterr(**how))


class ProcessState:
    """The environment, the settings of a framework, and what is in its modules, at one moment."""

    def __init__(self, settings: Sequence[Setting]) -> None:
        self.settings = [(change, read()) for read, change in [*settings, OF_NUMPY]]
        self.environment = dict(os.environ)
        self.modules = {
            name: dict(vars(sys.modules[name])) for name in LIBRARIES if name in sys.modules
        }

    def changed(self) -> list[str]:
        """Describe what differs by now in the environment and the modules."""
        variables = [f"os.environ[{name!r}] (set in training)" for name in self._variables()]
        return variables + [
            f"{module}.{name} (set in training)" for module, name in self._attributes()
        ]

    def put_back(self) -> None:
        """Restore this state."""
        for change, value in self.settings:
            change(value)
        for name in self._variables():
            os.environ.pop(name, None)
            if name in self.environment:
                os.environ[name] = self.environment[name]
        for module, name in self._attributes():
            if name in self.modules[module]:
                setattr(sys.modules[module], name, self.modules[module][name])
            else:
                delattr(sys.modules[module], name)

    def _variables(self) -> list[str]:
        names = sorted({*self.environment, *os.environ})
        changed = [n for n in names if self.environment.get(n) != os.environ.get(n)]
        return [name for name in changed if not name.startswith(OF_LIBRARIES)]

    def _attributes(self) -> list[tuple[str, str]]:
        missing = object()
        return [
            (module, name)
            for module, before in self.modules.items()
            for name, value in list(vars(sys.modules[module]).items())
            if value is not before.get(name, missing)
            and not name.startswith("_")
            and not isinstance(value, types.ModuleType)  # one that is imported by its first use
            and not str(getattr(value, "__module__", "")).startswith(module.partition(".")[0])
        ]


def generators() -> dict[str, Any]:
    """Return the states of the generators of Python and numpy, as JSON can hold them."""
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002 - user code draws from this one
    return {"python": random.getstate(), "numpy": [kind, np.asarray(keys).tolist(), *rest]}


def restore_generators(states: dict[str, Any]) -> None:
    """Set the generators to what `generators` returned."""
    version, inner, gauss = states["python"]
    random.setstate((version, tuple(inner), gauss))
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, np.asarray(keys, dtype=np.uint32), *rest))  # noqa: NPY002


@contextmanager
def kept(settings: Sequence[Setting], during: ProcessState | None = None) -> Generator[None]:
    """Restore the process after a block, which begins in the state `during` where one is given."""
    before = ProcessState(settings)
    try:
        if during is not None:
            during.put_back()
        yield
    finally:
        before.put_back()
