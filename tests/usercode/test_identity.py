"""A digest of code moves with all that a user's function reaches, and with nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import types
from pathlib import Path
from typing import Any

import pytest

from aiqc_core.errors import AlgorithmError
from aiqc_core.usercode import byvalue
from aiqc_core.usercode.identity import fingerprint, identity_of

BASE = '''
    import collections, dataclasses, enum, functools, math, random
    from typing import Any, NamedTuple
    import numpy as np
    from numpy.random import rand
    import pandas as pd

    class Meta(type):
        def shout(cls): return "meta"
    class Base:
        def inherited(self): return "base"
    class Net(Base, metaclass=Meta):
        """A doc."""
        width = 5
        shape: int = 1
        class Inner:
            depth = 2
        def __init__(self): self.size = self.width
        def method(self): return "method"
        @property
        def prop(self): return "prop"
        @staticmethod
        def static(): return "static"
        @classmethod
        def made(cls): return "made"
        @functools.cached_property
        def lazily(self): return "lazily"
    @dataclasses.dataclass
    class Options:
        rate: float = 0.5
        names: list = dataclasses.field(default_factory=lambda: ["first"])
        def doubled(self): return self.rate * 2
    class Colour(enum.Enum):
        RED = 1
        GREEN = 2
    class Point(NamedTuple):
        x: int = 10
    class Slotted:
        __slots__ = ("held",)
        def __init__(self): self.held = "slot"

    def listed(): return "in a list"
    def keyed(): return "in a dict"
    def tupled(): return "in a tuple"
    def of_set(): return "in a set"
    def partially(a, b): return a + b
    @functools.lru_cache(maxsize=8)
    def cached(x): return "cached"
    def deco(f):
        @functools.wraps(f)
        def wrapper(*a): return f(*a), "decorated"
        return wrapper
    @deco
    def wrapped(x: int = 1): return "wrapped"
    def closing(value):
        def inner(): return value
        return inner

    LIST, TABLE = [listed], {"f": keyed, "l": lambda x: x + 21}
    PAIR, SET = (tupled,), {of_set, 1, "s"}
    PARTIAL = functools.partial(partially, b=31)
    BOUND = Net().method
    NET, OPTIONS, SLOTTED = Net(), Options(), Slotted()
    ARRAY = np.arange(6) * 41
    OBJECTS = np.array([{"k": 51}], dtype=object)
    FRAME = pd.DataFrame({"a": [61, 2], "t": ["u", None]})
    ORDERED = collections.OrderedDict(a=1, b=2)
    CLOSED = closing(71)
    CYCLE = [81]; CYCLE.append(CYCLE)
    NUMBER = 1
    SHAPE = 91

    def first(n): return n and second(n - 1)
    def second(n): return "second", first(n)

    def fn(a, b=11, *, c=12, **hp):
        """A doc of fn."""
        class Local(Base):
            breadth = SHAPE
            def inside(self): return "inside"
        try:
            start = [1.0, -0.0, 2j, b"bytes", ..., a in {"u", "v"}]
        except ValueError:
            start = None
        done = print(end="kw")
        return (Net, Options, Colour.RED, Point, LIST, TABLE, PAIR, SET, PARTIAL, BOUND, NET,
            OPTIONS, SLOTTED, ARRAY, OBJECTS, FRAME, ORDERED, CLOSED, CYCLE, NUMBER, first, cached,
            wrapped, Local, start, math.pi, rand, random.random, np.random.normal, np.log1p, done)
'''
CHANGES = {
    "class attribute": ("width = 5", "width = 9"),
    "annotation of a class": ("shape: int", "shape: float"),
    "nested class": ("depth = 2", "depth = 3"),
    "method": ('return "method"', 'return "other"'),
    "property": ('return "prop"', 'return "other"'),
    "static method": ('return "static"', 'return "other"'),
    "class method": ('return "made"', 'return "other"'),
    "cached property": ('return "lazily"', 'return "other"'),
    "base": ('return "base"', 'return "other"'),
    "bases": ("class Net(Base,", "class Net("),
    "metaclass": ('return "meta"', 'return "other"'),
    "dataclass field": ("rate: float = 0.5", "rate: float = 0.6"),
    "field factory": ('["first"]', '["second"]'),
    "dataclass method": ("self.rate * 2", "self.rate * 3"),
    "order of fields": ("RED = 1\n        GREEN = 2", "RED = 2\n        GREEN = 1"),
    "named tuple": ("x: int = 10", "x: int = 11"),
    "slot": ('self.held = "slot"', 'self.held = "other"'),
    "function in a list": ('"in a list"', '"other"'),
    "function in a dict": ('"in a dict"', '"other"'),
    "lambda in a dict": ("x + 21", "x + 22"),
    "function in a tuple": ('"in a tuple"', '"other"'),
    "function in a set": ('"in a set"', '"other"'),
    "text in a set": ('"s"}', '"t"}'),
    "partial's value": ("b=31", "b=32"),
    "partial's function": ("return a + b", "return a - b"),
    "cached function": ('return "cached"', 'return "other"'),
    "cache size": ("maxsize=8", "maxsize=9"),
    "decorator": ('"decorated"', '"other"'),
    "decorated": ('return "wrapped"', 'return "other"'),
    "annotation that a decorator may read": ("x: int = 1)", "x: str = 1)"),
    "attribute set in __init__": ("self.size = self.width", "self.size = 100"),
    "array": ("* 41", "* 42"),
    "array of objects": ('"k": 51', '"k": 52'),
    "frame": ("[61, 2]", "[62, 2]"),
    "text of a frame": ('["u", None]', '["v", None]'),
    "dict's order": ("OrderedDict(a=1, b=2)", "OrderedDict(b=2, a=1)"),
    "closure": ("closing(71)", "closing(72)"),
    "in a cycle": ("[81]", "[82]"),
    "type of a number": ("NUMBER = 1\n", "NUMBER = True\n"),
    "read in the body of a nested class": ("SHAPE = 91", "SHAPE = 92"),
    "nested class of the function": ('"inside"', '"other"'),
    "mutual helpers": ('return "second"', 'return "other"'),
    "default": ("b=11", "b=13"),
    "keyword default": ("c=12", "c=13"),
    "sign of zero": ("-0.0", "0.0"),
    "bytes": ('b"bytes"', 'b"other"'),
    "set of constants": ('{"u", "v"}', '{"u", "w"}'),
    "name of a keyword": ('end="kw"', 'sep="kw"'),
    "what is caught": ("except ValueError", "except TypeError"),
    "what is tried": (
        "        except ValueError:\n            start = None\n",
        "        except ValueError:\n            start = None\n        else: start = 1\n",
    ),
    "attribute of a module": ("math.pi", "math.e"),
    "function of a package": ("np.log1p", "np.log2"),
}  # fmt: skip
NO_CHANGES = {
    "comment": ("    def listed", "    # a comment\n    def listed"),
    "blank lines": ("    def fn(", "\n\n\n    def fn("),
    "docstring": ('"""A doc of fn."""', '"""Another."""'),
    "no docstring": ('        """A doc of fn."""\n', ""),
    "docstring of a class": ('"""A doc."""', '"""Another."""'),
    "no docstring of a class": ('        """A doc."""\n', ""),
    "a blank line in a function": ("done = print", "\n        # why\n        done = print"),
    "what is not reached": ("def first", "UNUSED = 5\n    def unused(): return 3\n    def first"),
    "order of definitions": (
        '    def listed(): return "in a list"\n    def keyed(): return "in a dict"\n',
        '    def keyed(): return "in a dict"\n    def listed(): return "in a list"\n',
    ),
    "order of methods": (
        '        def static(): return "static"\n        @classmethod\n',
        '        def static(): return "static"\n\n        # why\n        @classmethod\n',
    ),
}


def load(source: str, name: str = "__main__") -> Any:
    """Run a script's text and return its function `fn`."""
    sys.modules.setdefault(name, types.ModuleType(name))
    space: dict[str, Any] = {"__name__": name}
    exec(textwrap.dedent(source), space)  # noqa: S102 - the text stands above
    return space["fn"]


def edited(old: str, new: str) -> str:
    """Return the script, edited."""
    assert BASE.count(old) >= 1, old
    return BASE.replace(old, new, 1)


@pytest.mark.parametrize("edit", CHANGES.values(), ids=CHANGES)
def test_whatever_a_function_reaches_counts(edit: tuple[str, str]) -> None:
    assert fingerprint(load(edited(*edit))) != fingerprint(load(BASE))


@pytest.mark.parametrize("edit", NO_CHANGES.values(), ids=NO_CHANGES)
def test_what_changes_nothing_does_not_count(edit: tuple[str, str]) -> None:
    assert fingerprint(load(edited(*edit))) == fingerprint(load(BASE))


def test_the_digest_is_the_same_in_each_process_and_of_what_was_stored(tmp_path: Path) -> None:
    here = fingerprint(load(BASE))
    stored = tmp_path / "stored"
    stored.write_bytes(byvalue.dumps(load(BASE)))
    code = (
        "import json, sys; sys.path.insert(0, sys.argv[1])\n"
        "from test_identity import *\n"
        "import random; random.seed(int(sys.argv[2]))\n"
        "live = [fingerprint(load(BASE)), fingerprint(load(BASE, 'elsewhere'))]\n"
        "again = byvalue.restored(Path(sys.argv[3]).read_bytes())\n"
        "print(json.dumps([*live, fingerprint(again)]))"
    )
    folder = str(Path(__file__).parent)
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code, folder, seed, stored], capture_output=True, text=True,
            check=True, env={"PYTHONHASHSEED": seed, "PATH": ""},
        )  # fmt: skip
        assert json.loads(done.stdout) == [here, here, here]


def test_draws_from_the_generators_of_the_process_do_not_count() -> None:
    import random

    import numpy as np

    before = fingerprint(load(BASE))
    random.random()
    np.random.rand(3)  # noqa: NPY002 - the generator of the process is the point
    assert fingerprint(load(BASE)) == before


def test_a_module_of_the_project_counts_by_what_is_used_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    project = tmp_path / "project_a1"
    project.mkdir()
    (project / "__init__.py").write_text("")
    texts = {
        "helpers.py": "from . import deep\ndef f(): return deep.g()\ndef unused(): return 1\n",
        "deep.py": "SCALE = 2\ndef g(): return SCALE\n",
    }
    ways = {
        "module": "import project_a1.helpers as h\ndef fn(): return h.f()",
        "package": "import project_a1.helpers\ndef fn(): return project_a1.helpers.f()",
        "from": "from project_a1 import helpers\ndef fn(): return helpers.f()",
        "name": "from project_a1.helpers import f\ndef fn(): return f()",
        "inside": "def fn():\n    from project_a1.helpers import f\n    return f()",
        "module inside": "def fn():\n    from project_a1 import helpers\n    return helpers.f()",
        "package inside": "def fn():\n import project_a1.helpers\n return project_a1.helpers.f()",
        "as a value": "from project_a1 import helpers\ndef fn(): return getattr(helpers, 'f')()",
    }

    def digests(**edits: tuple[str, str]) -> dict[str, str]:
        for name in [n for n in sys.modules if n.startswith("project_a1")]:
            del sys.modules[name]
        for name, text in texts.items():
            old, new = edits.get(name.removesuffix(".py"), ("", ""))
            (project / name).write_text(text.replace(old, new, 1) if old else text)
        return {way: fingerprint(load(text)) for way, text in ways.items()}

    first = digests()
    assert digests() == first
    deep = digests(deep=("SCALE = 2", "SCALE = 3"))
    assert all(deep[way] != first[way] for way in ways)
    helper = digests(helpers=("deep.g()", "deep.g() + 1"))
    assert all(helper[way] != first[way] for way in ways)
    assert digests(deep=("SCALE", "# why\nSCALE")) == first
    other = digests(helpers=("return 1", "return 2"))
    assert {way for way in ways if other[way] != first[way]} == {
        "as a value", "module inside", "package inside",
    }  # fmt: skip


# Of helper `found_by_text` with a number N and a class Net: what finds one of them by a text.
BY_TEXT = {
    "import_module": "import importlib\ndef fn(): return importlib.import_module('{m}').N",
    "its other name": "from importlib import import_module as i\ndef fn(): return i(name='{m}').N",
    "its own import": "def fn():\n import importlib as i\n return i.import_module('{m}').N",
    "a constant": "import importlib\nM = '{m}'\ndef fn(): return importlib.import_module(M).N",
    "of a package": "from importlib import import_module as i\ndef fn(): return i('.b', '{p}').N",
    "__import__": "def fn(): return __import__('{p}.b').b.N",
    "globals": "from {m} import N\ndef fn(): return globals()['N']",
    "get": "from {m} import N\ndef fn(): return globals().get('N')",
    "eval": "from {m} import N\ndef fn():\n x = 0\n return eval('N + x')",
    "__dict__": "import {m}\ndef fn(): return {m}.__dict__['N']",
    "__getattr__": "import {m}\ndef fn(): return {m}.absent",
}
IN_DOUBT = {
    "importlib.import_module": "import importlib\ndef fn(m): return importlib.import_module(m)",
    "importlib.import_module inside": "def fn(m):\n import importlib as i\n"
    " i.import_module('a.' + m)",
    "sys.modules": "import sys\ndef fn(n): return getattr(sys.modules[__name__], n)",
    "sys.modules.get": "def fn():\n import sys\n return sys.modules.get('found_by_text')",
    "globals": "def fn(n): return globals()[n]",
    "eval": "def fn(n): return eval(n)",
    "pydoc.locate": "import pydoc\ndef fn(): return pydoc.locate('found_by_text.Net')",
    "runpy.run_path": "import runpy\ndef fn(): return runpy.run_path('other.py')",
    "__subclasses__": "class A: pass\ndef fn(): return A.__subclasses__()",
}
SOUND = """
    import importlib, pydoc, sys, torch
    LAYER, ACT = torch.nn.Linear(1, 1), "torch.nn"
    def fn(n):
        installed = importlib.import_module("torch"), importlib.import_module(ACT)
        asked = "torch" in sys.modules, sys.modules["torch"], "N" in globals()
        located = pydoc.locate("torch.nn.ReLU")
        return getattr(torch.nn, n), getattr(LAYER, n), LAYER.eval(), LAYER.modules(), sys.path
"""


@pytest.mark.parametrize("way", BY_TEXT)
def test_what_a_constant_text_finds_counts_and_goes_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """A1: the stored function runs what was there, though the file says something else by now."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "by_text_p").mkdir()

    def made(number: int) -> Any:
        for name in [n for n in sys.modules if n.startswith("by_text_")]:
            del sys.modules[name]
        for file in ("by_text_m.py", "by_text_p/b.py"):
            (tmp_path / file).write_text(f"N = {number}\ndef __getattr__(n): return {number}\n")
        return load(BY_TEXT[way].format(m="by_text_m", p="by_text_p"))

    first = made(1)
    identity = identity_of(first)
    stored = byvalue.dumps(first, identity)
    assert fingerprint(made(1)) == identity.digest == fingerprint(byvalue.restored(stored))
    assert fingerprint(made(2)) != identity.digest
    assert byvalue.restored(stored)() == 1
    assert identity.key == identity.digest


@pytest.mark.parametrize("way", IN_DOUBT)
def test_what_an_unknown_text_finds_is_said_and_never_taken_for_the_same(way: str) -> None:
    fn = load(IN_DOUBT[way])
    with pytest.warns(UserWarning, match="fn: finds code by a text") as caught:
        byvalue.packed("fn", fn, AlgorithmError)
    assert f": {way.partition(' ')[0]} (in fn)" in str(caught[0].message)
    assert identity_of(fn).key != identity_of(fn).key


def test_a_stored_function_says_that_it_runs_code_of_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "by_text_live.py").touch()
    fn = load(IN_DOUBT["importlib.import_module"])
    stored = byvalue.restored(byvalue.dumps(fn, identity_of(fn)))
    with pytest.warns(UserWarning, match="'by_text_live', which was not stored with it"):
        stored("by_text_live")
    assert stored("json").__name__ == "json"


def test_installed_packages_are_found_by_a_text_without_a_word() -> None:
    assert identity_of(load(SOUND)).by_text == []
    byvalue.packed("fn", load(SOUND), AlgorithmError)


VALUES = {
    "tensor": "import torch\nV = torch.zeros(2); V.scale = {n}",
    "array": "import numpy as np\nclass A(np.ndarray): k = {n}\nV = np.zeros(2).view(A)",
    "set": "class A(set): pass\nV = A((1,)); V.k = {n}",
    "attrs": "import pandas as pd\nV = pd.DataFrame(dict(a=[1])); V.attrs['k'] = {n}",
    "frame": "import pandas as pd\nclass A(pd.DataFrame): k = {n}\nV = A(dict(a=[1]))",
}


@pytest.mark.parametrize("kind", VALUES)
def test_what_a_value_is_beyond_its_numbers_counts(kind: str) -> None:
    one, same, other = (load(VALUES[kind].format(n=n) + "\ndef fn(): return V") for n in (1, 1, 2))
    byvalue.dumps(one)  # pickling notes things on classes
    assert fingerprint(one) == fingerprint(same) != fingerprint(other)


def test_installed_packages_count_by_name_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    from aiqc_core.usercode import owned

    text = "import numpy as np\ndef fn(): return np.random.rand(1), np.linalg.norm"
    before = fingerprint(load(text))
    monkeypatch.setattr(owned, "version_of", lambda module: f"{module} 99")
    assert fingerprint(load(text)) != before


def test_state_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (tmp_path / "file").open() as stream:
        holder = types.SimpleNamespace(stream=stream, numbers=(n for n in range(3)))

        def fn() -> Any:
            return holder

        assert identity_of(fn).unfollowed == [
            "holder.numbers (generator)", "holder.stream (_io.TextIOWrapper)",
        ]  # fmt: skip


def test_what_is_large_is_named_where_it_is() -> None:
    import numpy as np

    big = np.zeros(2_000_000)
    holder = types.SimpleNamespace(part={"deep": big}, small=1)

    def fn(also: Any = [1.5] * 4_000_000) -> Any:
        return holder

    found = dict(identity_of(fn).large)
    assert [name.rpartition(".")[2] for name in found] == ["fn (a default)", "part['deep']"]
    assert found["holder.part['deep']"] == pytest.approx(big.nbytes, rel=0.01)
