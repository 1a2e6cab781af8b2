"""Showing figures where there is something to show them on."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

import plotly.io as pio

if TYPE_CHECKING:
    from collections.abc import Sequence

    import plotly.graph_objects as go

logger = logging.getLogger(__name__)


def show(figures: Sequence[go.Figure]) -> None:
    """Display figures: in the notebook, else by plotly's renderer, else say that there is none.

    A process without a notebook, a screen and a renderer of the user's choice only logs a
    warning: plotly would wait there for a browser that never comes.
    """
    if _in_notebook():
        display: Any = importlib.import_module("IPython.display").display
        for figure in figures:
            display(figure)
    elif pio.renderers.default and (pio.renderers.default != "browser" or _has_screen()):
        for figure in figures:
            figure.show()
    else:
        logger.warning(
            "%d figures are not shown: there is neither a notebook nor a browser. Pass "
            "call_display=False and write what it returns with figure.write_html(path).",
            len(figures),
        )


def _in_notebook() -> bool:
    """Say whether this process is an IPython session; that has IPython loaded."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None


def _has_screen() -> bool:
    by_variable = sys.platform not in {"win32", "darwin"}
    return not by_variable or any(os.environ.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY"))
