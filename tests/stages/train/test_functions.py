"""Functions of users, stored by value and given back elsewhere."""
# ruff: noqa: ARG005 - arguments are the point here

from __future__ import annotations

import math as arithmetic
import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING, Any

import cloudpickle
import numpy as np
import pytest

from aiqc_core.errors import AlgorithmError
from aiqc_core.stages.train.functions.capture import (
    SIGNATURES,
    capture,
    restore,
    takes_model_first,
)
from aiqc_core.stages.train.functions.source import is_text_of
from aiqc_core.usercode.findings import LARGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WIDTH = 3
LOCK = threading.Lock()


class Doubler:
    """Used by a helper, with a method that uses a constant of this module."""

    def twice(self, value: float) -> float:
        """Return WIDTH - 1 times the value."""
        return value * (WIDTH - 1)


def helper(value: float) -> float:
    return Doubler().twice(arithmetic.sqrt(value))


def fn_build(features_shape: tuple[int], label_shape: tuple[int], **hp: Any) -> Any:
    return float(np.float64(helper(features_shape[0] + label_shape[0]))) + hp["bias"]


def broken_helper() -> Any:
    return nowhere  # noqa: F821


def run_elsewhere(payload: bytes, call: str, folder: Path) -> str:
    """Return what a call of `function` prints in a process that cannot import this module."""
    (folder / "payload").write_bytes(payload)
    code = f"""
import sys
from aiqc_core.stages.train.functions.capture import restore
function = restore(open("payload", "rb").read())
assert {__name__!r} not in sys.modules
print({call})
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_helpers_constants_classes_and_aliases_go_with_a_function(tmp_path: Path) -> None:
    """B11."""
    captured = capture("fn_build", fn_build)
    assert run_elsewhere(captured.payload, "function((12,), (4,), bias=0.5)", tmp_path) == "8.5"
    assert restore(captured.payload)((12,), (4,), bias=0.5) == 8.5


def test_a_module_beside_a_script_goes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B11: the file may be gone where the function runs."""
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "blocks_b11.py").write_text("SIZE = 5\ndef size():\n    return SIZE\n")
    monkeypatch.syspath_prepend(tmp_path / "beside")
    import blocks_b11  # pyright: ignore[reportMissingImports]
    from blocks_b11 import size  # pyright: ignore[reportMissingImports]

    def by_module(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
        return blocks_b11.size()

    def by_name(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
        return size()

    for function in (by_module, by_name):
        payload = capture("fn_build", function).payload
        assert run_elsewhere(payload, "function(1, 1)", tmp_path) == "5"


def test_capturing_leaves_the_registry_of_modules_as_it_was() -> None:
    before = cloudpickle.list_registry_pickle_by_value()
    capture("fn_build", fn_build)
    assert cloudpickle.list_registry_pickle_by_value() == before


def test_undefined_names_are_reported_of_helpers_methods_and_closures_too() -> None:
    """B11."""

    class Model:
        def forward(self) -> Any:
            return missing_in_method  # noqa: F821

    def direct(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
        return missing_here, broken_helper(), Model(), [missing_inside for _ in hp]  # noqa: F821

    with pytest.raises(AlgorithmError, match="not defined") as caught:
        capture("fn_build", direct)
    for name in ("missing_here", "nowhere", "missing_in_method", "missing_inside"):
        assert f"'{name}'" in str(caught.value)
    assert "in broken_helper" in str(caught.value)


def test_a_name_that_the_enclosing_function_has_not_set_yet_is_reported() -> None:
    def early() -> Callable[..., Any]:
        def fn_lose(**hp: Any) -> Any:
            return later

        with pytest.raises(AlgorithmError, match="'later'"):
            capture("fn_lose", fn_lose)
        later = 1
        return fn_lose

    assert restore(capture("fn_lose", early()).payload)() == 1


def test_what_cannot_be_pickled_is_reported_with_the_remedy() -> None:
    def fn_lose(**hp: Any) -> Any:
        return LOCK

    with pytest.raises(AlgorithmError, match=r"cannot be pickled .*lock.*inside the function"):
        capture("fn_lose", fn_lose)


def test_recursion_and_mutual_helpers_end() -> None:
    def even(n: int) -> bool:
        return n == 0 or odd(n - 1)

    def odd(n: int) -> bool:
        return n != 0 and even(n - 1)

    def fn_lose(**hp: Any) -> Any:
        return even(hp["n"])

    assert restore(capture("fn_lose", fn_lose).payload)(n=10) is True


@pytest.mark.parametrize("given", [None, "fn", print, WIDTH, Doubler, Doubler().twice])
def test_only_functions_are_taken(given: Any) -> None:
    with pytest.raises(AlgorithmError, match="def or lambda"):
        capture("fn_build", given)


@pytest.mark.parametrize(
    ("role", "function"),
    [
        ("fn_build", lambda features_shape, **hp: 0),
        ("fn_build", lambda features_shape, label_shape: 0),
        ("fn_train", lambda model, loser, optimizer, x, y, **hp: 0),
        ("fn_predict", lambda model: 0),
        ("fn_predict", lambda model, features, more: 0),
        ("fn_lose", lambda hp: 0),
        ("fn_optimize", lambda: 0),
    ],
)
def test_other_arguments_are_refused_showing_the_wanted_ones(
    role: str, function: Callable[..., Any]
) -> None:
    with pytest.raises(AlgorithmError) as caught:
        capture(role, function)
    assert f"{role}({', '.join(SIGNATURES[role])})" in str(caught.value)


@pytest.mark.parametrize(
    ("role", "function"),
    [
        ("fn_build", lambda features, label, neurons, **hp: 0),
        ("fn_build", lambda *shapes, **hp: 0),
        ("fn_predict", lambda model, features, threshold=0.5: 0),
        ("fn_optimize", lambda model, **hp: 0),
        ("fn_lose", lambda **hp: 0),
    ],
)
def test_arguments_that_the_role_can_fill_are_taken(
    role: str, function: Callable[..., Any]
) -> None:
    assert callable(restore(capture(role, function).payload))


def test_an_optimizer_function_that_takes_the_model_is_distinguished_from_one_that_does_not() -> (
    None
):
    assert takes_model_first(lambda model, **hp: 0)
    assert not takes_model_first(lambda **hp: 0)
    assert not takes_model_first(lambda *, rate=1, **hp: 0)


def test_source_is_dedented_and_complete() -> None:
    """B66."""

    def fn_lose(**hp: Any) -> Any:
        assert hp, "pytest rewrites this line"
        return hp

    text = capture("fn_lose", fn_lose).source
    assert text is not None
    assert text.startswith("def fn_lose(**hp: Any) -> Any:\n    assert hp")
    namespace: dict[str, Any] = {"Any": Any}
    exec(text, namespace)  # noqa: S102
    assert namespace["fn_lose"](a=1) == {"a": 1}


def test_source_is_none_where_there_is_none() -> None:
    """B66."""
    namespace: dict[str, Any] = {}
    exec("def fn_build(features_shape, label_shape, **hp): return 7", namespace)  # noqa: S102
    captured = capture("fn_build", namespace["fn_build"])
    assert captured.source is None
    assert restore(captured.payload)(1, 1) == 7


def test_lambdas_on_one_line_get_their_own_source_or_none() -> None:
    """B66."""
    one, two = (lambda **hp: 1), (lambda **hp: 2)
    assert capture("fn_lose", one).source == "lambda **hp: 1"
    assert capture("fn_lose", two).source == "lambda **hp: 2"
    assert restore(capture("fn_lose", two).payload)() == 2


@pytest.mark.parametrize("edited", ["return hp['a'] - 1", "return hp['b'] + 1", "return 1.0"])
def test_a_file_edited_since_its_import_never_gives_the_new_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edited: str
) -> None:
    """B66."""
    monkeypatch.syspath_prepend(tmp_path)
    name = f"edited_{abs(hash(edited))}"
    path = tmp_path / f"{name}.py"
    path.write_text("def fn_lose(**hp):\n    return hp['a'] + 1\n")
    function = __import__(name).fn_lose
    assert capture("fn_lose", function).source == path.read_text()
    path.write_text(f"# a comment that changes the size\ndef fn_lose(**hp):\n    {edited}\n")
    assert capture("fn_lose", function).source is None


def test_closures_and_decorated_functions_have_their_source() -> None:
    import functools

    offset = 2

    def logged(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*given: Any, **named: Any) -> Any:
            return function(*given, **named)

        return wrapper

    @logged
    def fn_lose(**hp: Any) -> Any:
        return hp["a"] + offset

    captured = capture("fn_lose", fn_lose)
    expected = '@logged\ndef fn_lose(**hp: Any) -> Any:\n    return hp["a"] + offset\n'
    assert captured.source == textwrap.dedent(expected)
    assert restore(captured.payload)(a=1) == 3


IMPORTS_AT_THE_TOP = '''
from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable


def plain(**hp: Callable):
    """Its text."""
    return nn.Linear(1, 1), F.relu(hp["a"]), hp.get("b"), math.sin(1.0)


def with_class(**hp):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.__hidden = nn.ReLU()

    return Net()


def recursive(**hp):
    return nn.Identity() if hp else recursive(a=1)


def around(value):
    def inside(**hp):
        text = """
at the margin
"""
        return nn.Linear(value, 1), text

    return inside


@functools.wraps(plain)
def borrowed(**hp):
    return nn.Tanh()


class Holder:
    @staticmethod
    def method(**hp):
        return nn.Linear(hp["a"].__mangled, 1)


inside = around(3)
method = Holder.method
first, second = (lambda **hp: nn.ReLU()), (lambda **hp: nn.Tanh())
'''


@pytest.mark.parametrize(
    ("name", "begins", "holds"),
    [
        ("plain", "def plain", "F.relu"),
        ("with_class", "def with_class", "__hidden"),
        ("recursive", "def recursive", "recursive(a=1)"),
        ("inside", "    def inside", "at the margin"),
        ("borrowed", "@functools.wraps(plain)", "nn.Tanh()"),
        ("method", "@staticmethod", "__mangled"),
        ("first", "lambda **hp: nn.ReLU()", ""),
        ("second", "lambda **hp: nn.Tanh()", ""),
    ],
)
def test_the_text_is_found_whatever_the_top_of_the_file_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, begins: str, holds: str
) -> None:
    """The compiler makes other code of `nn.Linear(…)` where the file imports `nn`."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"texts_d8_{name}.py").write_text(IMPORTS_AT_THE_TOP)
    function = getattr(__import__(f"texts_d8_{name}"), name)
    captured = capture("fn_lose", function)
    assert captured.source is not None
    assert captured.source.startswith(begins)
    assert holds in captured.source
    assert captured.source.count("def ") <= 2
    assert is_text_of(restore(captured.payload), captured.source)


BIG = np.zeros(1_500_000)


class Large:
    """Holds data as an attribute of itself and of its instances."""

    table = np.zeros(1_500_000)

    def __init__(self) -> None:
        self.rows = [0.5] * 3_000_000

    def length(self) -> int:
        """Count what an instance holds."""
        return len(self.rows)


def carriers() -> dict[str, tuple[Callable[..., Any], str]]:
    """Return functions that take data with them, and what holds it."""
    import functools

    around = np.ones(1_500_000)
    holder, bound = Large(), functools.partial(len, BIG)

    def filled(extra: Any = around * 2, **hp: Any) -> Any:
        return extra

    return {
        "global": (lambda **hp: BIG[0], "BIG"),
        "closure": (lambda **hp: around[0], "around"),
        "default": (filled, "default"),
        "instance": (lambda **hp: holder.length(), "holder.rows"),
        "class": (lambda **hp: Large.table, "Large.table"),
        "partial": (lambda **hp: bound(), "bound"),
        "helper": (lambda **hp: reads_much(), "BIG"),
    }


def reads_much() -> float:
    return BIG.sum()


@pytest.mark.parametrize("way", carriers())
def test_data_that_goes_with_a_function_is_reported_with_its_role_name_and_size(way: str) -> None:
    function, holder = carriers()[way]
    with pytest.warns(UserWarning, match=rf"^fn_lose: takes \d+ MB .*{holder}.*\d+ MB.*Dataset"):
        payload = capture("fn_lose", function).payload
    assert len(payload) > LARGE_BYTES


def test_an_open_file_is_reported_and_never_taken_for_the_same(tmp_path: Path) -> None:
    """Cloudpickle takes a file's content with it, which may be another next time."""
    (tmp_path / "notes").write_text("one")
    with (tmp_path / "notes").open() as notes:

        def fn_lose(**hp: Any) -> str:
            return notes.read()

        with pytest.warns(UserWarning, match=r"fn_lose: .*cannot be read: notes \(_io.Text"):
            capture("fn_lose", fn_lose)


def test_what_a_stored_function_finds_by_a_text_is_said_where_it_is_used_too() -> None:
    """A1."""

    def fn_lose(**hp: Any) -> Any:
        return getattr(sys.modules[__name__], hp["name"])

    with pytest.warns(UserWarning, match=r"^fn_lose: finds code by a text: sys.modules \("):
        captured = capture("fn_lose", fn_lose)
    with pytest.warns(UserWarning, match=r"def fn_lose.* by a text, sys.modules .*there now"):
        assert restore(captured.payload, captured.source)(name="WIDTH") == WIDTH


def test_restoring_leaves_a_class_of_this_process_as_it_is() -> None:
    class Net:
        width = 5

    def fn_lose(**hp: Any) -> Any:
        return Net

    first = capture("fn_lose", fn_lose).payload
    assert restore(first)() is Net  # so that isinstance holds where the class is at hand
    Net.width = 9
    second = capture("fn_lose", fn_lose).payload
    assert (restore(first)().width, restore(second)().width) == (5, 9)
    assert Net.width == 9


def test_modules_imported_inside_go_with_a_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "beside" / "inner_b5"
    project.mkdir(parents=True)
    (project / "__init__.py").write_text("")
    (project / "deep.py").write_text("from . import deeper\ndef f(): return deeper.SIZE\n")
    (project / "deeper.py").write_text("SIZE = 5\n")
    monkeypatch.syspath_prepend(tmp_path / "beside")

    def by_name(**hp: Any) -> Any:
        from inner_b5.deep import f  # pyright: ignore[reportMissingImports]

        return f()

    def by_module(**hp: Any) -> Any:
        import inner_b5.deep  # pyright: ignore[reportMissingImports]

        return next(inner_b5.deep.f() for _ in range(1))

    def nested(**hp: Any) -> Any:
        def again() -> Any:
            from inner_b5 import deep  # pyright: ignore[reportMissingImports]

            return deep.f()

        return again()

    for function in (by_name, by_module, nested):
        payload = capture("fn_lose", function).payload
        assert run_elsewhere(payload, "function()", tmp_path) == "5"
