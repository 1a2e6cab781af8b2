"""Find where in the user's own code an error was raised: file, line, function and text."""

from __future__ import annotations

import linecache
import sysconfig
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from types import CodeType, TracebackType

OURS = Path(__file__).parent
DAGSTER, DECLARED = OURS.parent / "aiqc_dagster", OURS.parent / "aiqc_dagster" / "defs"
INSTALLED = {"site-packages", "dist-packages"}
STANDARD = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))
DYNAMIC, STORED = "<dynamic-code>", " as stored "  # of cloudpickle, and of `train.source`
SHOWN, WIDTH = 4, 160  # how many frames, and of a line how many characters
TAIL_LINES = 10


@dataclass(frozen=True, slots=True)
class Frame:
    """One place in the user's code; `text` is that of the line, empty where it is not known."""

    file: str
    line: int
    function: str
    text: str

    def __str__(self) -> str:
        text = f": `{self.text}`" if self.text else ""
        return f"{self.file}:{self.line} in {self.function}{text}"


class RemoteTraceback(Exception):  # noqa: N818 - it stands for an error of another process
    """The traceback of an error in another process, as text: the cause of the error here."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


def of_error(error: BaseException) -> list[Frame]:
    """Return the user's frames of an error, or of the one it came from, the innermost last."""
    return list(_frames(raised_in_users(error)))


def raised_in_users(error: BaseException) -> BaseException:
    """Return the error, or where it has no frame of the user's, the one it was raised from."""
    return next((each for each in _chain(error) if any(_frames(each))), error)


def place(error: BaseException) -> str:
    """Return where the user's code raised, as the end of a sentence: `', at …'`, or nothing."""
    times = Counter(reversed(of_error(error)))  # each place of a recursion once
    found = [f"{frame} ({n} times)" if n > 1 else str(frame) for frame, n in times.items()]
    if not found:
        return ""
    left = f"{len(found) - SHOWN} more > " if len(found) > SHOWN else ""
    return f", at {left}{' > '.join(found[:SHOWN][::-1])}"


def message_of(error: BaseException) -> str:
    """Return the text of an error; where its own class cannot give it, why not."""
    try:
        return str(error).strip()
    except Exception as fault:  # noqa: BLE001 - a user's class may raise anything
        return f"<its __str__ raised {type(fault).__name__}>"


def summary(error: BaseException) -> str:
    """Return type and text of an error, and of a group the errors in it with their places."""
    text = message_of(error)
    if isinstance(error, BaseExceptionGroup):
        text += f": {'; '.join(map(summary_with_place, error.exceptions[:SHOWN]))}"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def summary_with_place(error: BaseException) -> str:
    """Return type, text and place of an error."""
    where = place(error)
    return f"{summary(error).rstrip('.')}{where}" if where else summary(error)


@contextmanager
def notes_on_errors() -> Generator[None]:
    """Add the user's frames to an error that passes, as a note below its message."""
    try:
        yield
    except Exception as error:
        where = place(error)
        note = f"Raised in the user's code{where}."
        if where and note not in getattr(error, "__notes__", ()):
            error.add_note(note)
        raise


def tail(text: str) -> str:
    """Return the last lines of a traceback."""
    return "\n".join(text.rstrip().splitlines()[-TAIL_LINES:])


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)


def _frames(error: BaseException) -> Iterator[Frame]:
    step: TracebackType | None = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        if is_users(code.co_filename):
            file, home = code.co_filename, step.tb_frame.f_globals.get("__file__")
            is_stored = file == DYNAMIC or (file.startswith("<") and STORED in file)
            file = home if is_stored and isinstance(home, str) else file
            text = _text(code, file, step.tb_lineno)
            yield Frame(file, step.tb_lineno, code.co_name, text)
        step = step.tb_next
    if isinstance(error, SyntaxError) and error.filename and is_users(error.filename):
        yield Frame(error.filename, error.lineno or 1, "<module>", _shown(error.text or ""))


def is_users(file: str) -> bool:
    """Say whether a file is the user's: no part of Python, of AIQC or of an installed package."""
    if file.startswith("<"):
        return not file.startswith(("<frozen ", "<__array_function__", "<attrs "))
    path = Path(file)
    if INSTALLED & set(path.parts) or any(path.is_relative_to(folder) for folder in STANDARD):
        return False
    if path.is_relative_to(DECLARED):
        return True
    return not (path.is_relative_to(OURS) or path.is_relative_to(DAGSTER))


def _text(code: CodeType, file: str, line: int) -> str:
    """Return a line's text, stored or of the file; empty where the file has another by now."""
    name = file if code.co_filename == DYNAMIC else code.co_filename
    linecache.checkcache(name)
    if STORED not in name and code.co_name.isidentifier():
        head = [linecache.getline(name, i) for i in range(code.co_firstlineno, line + 1)]
        defined = (f"def {code.co_name}", f"class {code.co_name}")
        if not any(text.lstrip().removeprefix("async ").startswith(defined) for text in head):
            return ""
    return _shown(linecache.getline(name, line))


def _shown(line: str) -> str:
    return line.strip() if len(line.strip()) <= WIDTH else f"{line.strip()[:WIDTH]}…"
