"""The inputs that decided between dill and cloudpickle; see docs/decisions."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """
    import functools, json, pickle, sys
    import cloudpickle, dill
    import helpers
    from helpers import f, C
    from aiqc_core.usercode import byvalue

    class Base:
        def base(self): return "base"
    class Net(Base):
        def both(self): return "net " + super().base()
    WIDTH, TABLE = 7, {"net": Net(), "plus": lambda x: x + 1}
    def closing(value):
        def inner(): return value
        return inner
    @functools.lru_cache
    def cached(): return "cached"
    def by_class(): return Net().both()
    def by_dict(): return TABLE["net"].both(), TABLE["plus"](1)
    def recursive(n=3): return n and recursive(n - 1)
    def by_module(): return helpers.f()
    def by_name(): return f()
    def by_its_class(): return C().method()
    def by_import():
        import helpers
        return helpers.f()
    def by_body():
        class Local:
            width = WIDTH
        return Local.width
    def by_cache(): return cached()

    functions = [closing(3), by_class, by_dict, recursive, by_module, by_name, by_its_class,
        by_import, by_body, by_cache]
    ways = {"dill": lambda g: dill.dumps(g, recurse=True, byref=False),
        "cloudpickle": cloudpickle.dumps, "here": byvalue.dumps}
    with open(sys.argv[1], "wb") as stream:
        found = {w: {g.__name__: dump(g) for g in functions} for w, dump in ways.items()}
        pickle.dump(found, stream)
"""
LOAD = """
    import json, pickle, sys
    import dill
    def called(data):
        try:
            return pickle.loads(data)()
        except Exception as error:
            return type(error).__name__
    found = pickle.load(open(sys.argv[1], "rb"))
    assert "helpers" not in sys.modules
    print(json.dumps({w: {n: called(d) for n, d in each.items()} for w, each in found.items()}))
"""
RIGHT = {
    "inner": 3, "by_class": "net base", "by_dict": ["net base", 2], "recursive": 0,
    "by_module": 5, "by_name": 5, "by_its_class": 6, "by_import": 5, "by_body": 7,
    "by_cache": "cached",
}  # fmt: skip
BY_NAME = dict.fromkeys(
    ["by_module", "by_name", "by_its_class", "by_import"], "ModuleNotFoundError"
)


@pytest.mark.slow
def test_only_the_extended_pickle_takes_all_that_a_function_reaches(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "helpers.py").write_text(
        "SIZE = 5\ndef f(): return SIZE\nclass C:\n    def method(self): return SIZE + 1\n"
    )
    (tmp_path / "project" / "main.py").write_text(textwrap.dedent(SCRIPT))
    stored = str(tmp_path / "stored")
    subprocess.run([sys.executable, tmp_path / "project" / "main.py", stored], check=True)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LOAD), stored], check=True, capture_output=True
    )
    found = json.loads(done.stdout)
    assert found["here"] == RIGHT
    assert found["dill"] == RIGHT | BY_NAME | {"by_body": "NameError"}
    assert found["cloudpickle"] == RIGHT | BY_NAME | {
        "by_body": "NameError", "by_cache": "AttributeError",
    }  # fmt: skip


def test_dills_text_may_be_anothers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dill.source

    from aiqc_core.utils.dill import reveal_code

    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "texts_dill.py"
    path.write_text("PAIR = [lambda x: x + 1, lambda x: x + 2]\ndef f(x):\n    return x + 3\n")
    import texts_dill  # pyright: ignore[reportMissingImports]

    assert [reveal_code(each) for each in texts_dill.PAIR] == [
        "lambda x: x + 1",
        "lambda x: x + 2",
    ]
    assert dill.source.getsource(texts_dill.PAIR[0]) != "lambda x: x + 1"
    assert reveal_code(texts_dill.f) == "def f(x):\n    return x + 3\n"
    path.write_text("# more than before\ndef f(x):\n    return x + 333\n\n\n\n")
    assert reveal_code(texts_dill.f) is None
    assert "333" in dill.source.getsource(texts_dill.f)
    assert reveal_code(None) is None


@pytest.mark.slow
def test_dill_finds_what_was_typed_into_a_console() -> None:
    """The history of a console holds it; no other library reads that."""
    typed = [
        "from aiqc_core.utils.dill import reveal_code",
        "def double(x):", "    return x * 2", "",
        "print('text', repr(reveal_code(double)))",
        "exec('def other(x): return x * 3')",
        "print('none', repr(reveal_code(other)))", "exit()",
    ]  # fmt: skip
    shown = console(typed)
    assert "text 'def double(x):\\n    return x * 2\\n'" in shown
    assert "none None" in shown


def console(lines: list[str]) -> str:
    """Type lines into a Python console on a terminal, and return what it shows."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ |= {"TERM": "dumb", "PYTHONSTARTUP": ""}
        os.execv(sys.executable, [sys.executable, "-q"])  # noqa: S606
    shown = b""
    waiting = [line.encode() + b"\n" for line in lines]
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if shown.endswith((b">>> ", b"... ")) and waiting:
            os.write(terminal, waiting.pop(0))
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # it has ended
            break
    os.waitpid(pid, 0)
    return shown.decode().replace("\r\n", "\n")
