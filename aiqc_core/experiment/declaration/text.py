"""YAML text as plain values, with the line of each; no tags, so nothing in it can run.

Scalars are read as YAML 1.2 reads them: `1e-3` is a number, `no` and `12:30` are texts, and a date
is a text. (PyYAML's own rules are those of YAML 1.1.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

import yaml

from aiqc_core.experiment.declaration.faults import Fault
from aiqc_core.wording import dotted

if TYPE_CHECKING:
    from pathlib import Path

    from aiqc_core.wording import Place

MOST_VALUES = 100_000
NULL, BOOL, INT, FLOAT = (f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float"))


class _Loader(yaml.SafeLoader):
    """The safe loader with the scalars of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - as the base class has it


for _tag, _pattern, _first in (
    (NULL, r"~|null|Null|NULL|", "~nN"),
    (BOOL, r"true|True|TRUE|false|False|FALSE", "tTfF"),
    (INT, r"[-+]?[0-9]+", "-+0123456789"),
    (FLOAT, r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    (FLOAT, r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+."),
    ("tag:yaml.org,2002:merge", r"<<", "<"),
):
    _firsts = [*_first, ""] if _tag == NULL else [*_first]
    _Loader.add_implicit_resolver(_tag, re.compile(rf"(?:{_pattern})\Z"), _firsts)


def _whole(loader: _Loader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))  # the base class takes 010 for an octal number


def _real(loader: _Loader, node: yaml.ScalarNode) -> float:
    text = loader.construct_scalar(node).lower()
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


_Loader.add_constructor(INT, _whole)
_Loader.add_constructor(FLOAT, _real)


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a YAML file.

    Attributes:
        data: its plain values.
        lines: the line of each place that is written, counted from 1.
    """

    data: Any
    lines: dict[Place, int] = field(default_factory=dict)

    def line(self, place: Place) -> int | None:
        """Return the line of a place, else that of what would hold it."""
        for length in range(len(place), -1, -1):
            if place[:length] in self.lines:
                return self.lines[place[:length]]
        return None


def read(file: Path) -> tuple[list[Document], list[Fault]]:
    """Read a YAML file.

    Returns:
        Its documents, and what is wrong with the text; a text that is no YAML has no documents.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        return [], [Fault(file, None, f"cannot be read as UTF-8 text: {error}.")]
    documents: list[Document] = []
    faults: list[Fault] = []
    try:
        loader = _Loader(text)
        while loader.check_node():
            node: Any = loader.get_node()
            _refuse_growth(node)
            lines: dict[Place, int] = {}
            _walk(node, (), lines, {}, faults, file)
            documents.append(Document(loader.construct_document(node), lines))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = None if mark is None else mark.line + 1
        problem = " ".join(part for part in (error.context, error.problem) if part)
        remedy = "Check indentation, colons and quotes there; tags such as !!python are refused."
        return [], [*faults, Fault(file, line, f"is no plain YAML: {problem}. {remedy}")]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return [], [*faults, Fault(file, None, f"is no plain YAML: {error}.")]
    return documents, faults


def _refuse_growth(root: yaml.Node) -> None:
    """Refuse a text whose aliases would make much more of it, or that holds itself.

    Ten lines of aliases of aliases can stand for a billion values.
    """
    sizes: dict[int, int | None] = {}  # None while a node is being measured

    def size(node: yaml.Node) -> int:
        known = sizes.get(id(node), 0)
        if known is None:
            raise yaml.MarkedYAMLError(
                problem="an alias that holds itself", problem_mark=node.start_mark
            )
        if known:
            return known
        sizes[id(node)] = None
        within: Any = node.value if isinstance(node, yaml.CollectionNode) else []
        children = chain.from_iterable(within) if isinstance(node, yaml.MappingNode) else within
        total = 1 + sum(map(size, children))
        if total > MOST_VALUES:
            raise yaml.MarkedYAMLError(
                problem=f"more than {MOST_VALUES} values, counting what aliases repeat",
                problem_mark=node.start_mark,
            )
        sizes[id(node)] = total
        return total

    size(root)


def _walk(
    node: yaml.Node,
    place: Place,
    lines: dict[Place, int],
    seen: dict[int, yaml.Node],
    faults: list[Fault],
    file: Path,
) -> None:
    """Note the line of each value; of what an alias repeats, that of its first place."""
    lines.setdefault(place, node.start_mark.line + 1)
    if id(node) in seen:
        return
    seen[id(node)] = node
    if isinstance(node, yaml.SequenceNode):
        for position, child in enumerate(node.value):
            _walk(child, (*place, position), lines, seen, faults, file)
    if isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            name = str(key.value)
            line = key.start_mark.line + 1
            below = (*place, name)
            if below in lines:
                message = f"{dotted(below)}: stands here and on line {lines[below]}; keep one."
                faults.append(Fault(file, line, message))
            lines[below] = line
            _walk(child, below, lines, seen, faults, file)
