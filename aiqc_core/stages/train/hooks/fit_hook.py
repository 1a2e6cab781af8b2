"""The hook by which stacked training may take over a training of `utils.pytorch.fit`.

`stacking.turns` opens it around each of its Jobs. It knows no framework.
"""

from __future__ import annotations

from typing import Any, Protocol

from aiqc_core.stages.train.hooks.active import Active


class Door(Protocol):
    """Takes trainings in."""

    def train(self, training: Any) -> bool:
        """Train it as `training.run()` would; False where it has to train itself."""
        ...


_current: Active[Door] = Active("fit_hook")
active, opened = _current.get, _current.opened
