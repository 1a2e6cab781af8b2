"""The hook by which stacked training may take over a training of `utils.pytorch.fit`.

`stacking.run` opens it around each of its Jobs. It knows no framework.
"""

from __future__ import annotations

from typing import Any, Protocol

from aiqc_core.stages.train.hooks.active import Active


class FitHook(Protocol):
    """What `fit` asks to train in its place."""

    def train(self, training: Any) -> bool:
        """Train it as `training.run()` would; False where it has to train itself."""
        ...


_current: Active[FitHook] = Active("fit_hook")
active, opened = _current.get, _current.opened
