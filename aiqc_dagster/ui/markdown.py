"""Escape text of others in Markdown.

Dagster's UI strips scripts from Markdown, but fetches pictures that it names and renders tables,
links and headings.
"""

from __future__ import annotations

import re

MARKED = re.compile(r"([\\<\[\]|])")  # what begins html, a link, a picture, the next cell
FENCE = re.compile(r"`{3,}")


def plain(text: str) -> str:
    r"""Return Markdown that shows a text as it is, in one line of a table too.

    >>> plain("![x](http://e) | <b>")
    '!\\[x\\](http://e) \\| \\<b>'
    """
    return MARKED.sub(r"\\\1", text).replace("\n", "<br>")


def fenced(text: str) -> str:
    """Return Markdown that shows a text as a block of code, which it cannot end by itself.

    >>> fenced("a").splitlines()
    ['```', 'a', '```']
    """
    longest = max((len(found) for found in FENCE.findall(text)), default=2)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"
