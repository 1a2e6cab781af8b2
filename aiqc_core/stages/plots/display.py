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

SCREENS = ("DISPLAY", "WAYLAND_DISPLAY")


def show(figures: Sequence[go.Figure]) -> None:
    """Display figures: in the notebook, else by plotly's renderer, else say that there is none.

    A process without a notebook, a screen and a renderer of the user's choice only logs a
    warning: plotly would wait there for a browser that never comes.
    """
    ipython = sys.modules.get("IPython")  # an IPython session has it loaded
    has_screen = sys.platform in {"win32", "darwin"} or any(map(os.environ.get, SCREENS))
    if ipython is not None and ipython.get_ipython() is not None:
        display: Any = importlib.import_module("IPython.display").display
        for figure in figures:
            display(figure)
    elif pio.renderers.default and (pio.renderers.default != "browser" or has_screen):
        for figure in figures:
            figure.show()
    else:
        logger.warning(
            "%d figures are not shown: there is neither a notebook nor a browser. Pass "
            "call_display=False and write what it returns with figure.write_html(path).",
            len(figures),
        )
