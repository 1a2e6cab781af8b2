"""What is wrong with a declaration: where, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aiqc_core import frames


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        file: in which file.
        line: on which line, counted from 1; None where it is not known.
        message: where in the declaration, what was given, what is allowed, what to do.
    """

    file: Path
    line: int | None
    message: str

    def __str__(self) -> str:
        place = str(self.file) if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.message}"


def of_exception(error: BaseException, folder: Path, file: Path) -> Fault:
    """Return the fault behind an exception that a user's file raised.

    It names the last line of the traceback that is in the folder, else the file.
    """
    found = frames.of_error(error)
    raised = frames.raised_in_users(error)
    text = frames.summary(raised)
    if isinstance(raised, SyntaxError) and raised.filename:
        source = f": `{raised.text.strip()}`" if raised.text else ""
        message = f"{type(raised).__name__}: {raised.msg}{source}"
        return Fault(Path(raised.filename), raised.lineno, message)
    inside = [frame for frame in found if Path(frame.file).is_relative_to(folder)]
    if not inside:
        return Fault(file, None, f"{text}{frames.place(error)}")
    last = inside[-1]
    source = f": `{last.text}`" if last.text else ""
    deeper = f", at {found[-1]}" if found[-1] != last else ""
    return Fault(Path(last.file), last.line, f"{text}, in {last.function}{source}{deeper}")
