"""Kill work at random moments, do it once more, and compare the store with one never killed.

    python tests/faults/harness.py --kills 200 --seed 1

Half of the kills come at a moment in time, wherever the process then is, in compiled code too.
The others come at the n-th call of a function of `aiqc_core`, so that short steps, such as the
writing of a row, are hit as often as long ones. Every number is drawn from the seed.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import forking
from scenarios import (
    SCENARIOS,
    TOTAL,
    TRAININGS_VARIABLE,
    Scenario,
    recorded,
    trainings,
    walk,
    walk_and_crown,
)

from aiqc_core import config
from aiqc_core.orm import metastore

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

KILLED = -signal.SIGKILL
ROOT = str(Path(config.__file__).parent)


def main() -> int:
    """Kill as often as asked; return 0 when every store came out as it should."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=list(SCENARIOS), help="this kind of work alone")
    arguments = parser.parse_args()
    chosen = [arguments.only] if arguments.only else list(SCENARIOS)
    faults = 0
    with tempfile.TemporaryDirectory(prefix="aiqc-faults-") as folder:
        forking.load_once(lambda: at(Path(folder) / "first", walk))
        for name in chosen:
            share = 1.0 if arguments.only else SCENARIOS[name].share
            kills = round(arguments.kills * share)
            if kills:
                faults += campaign(name, kills, arguments.seed, Path(folder) / name)
    print(
        "every store came out as one that was never killed" if not faults else f"{faults} faults"
    )
    return min(faults, 1)


def campaign(name: str, kills: int, seed: int, folder: Path) -> int:
    """Kill one kind of work several times; print what was hit; return the number of faults."""
    scenario = SCENARIOS[name]
    reference, seconds, calls = measured(scenario, folder / "reference")
    draw, faults = random.Random(f"{seed} {name}"), 0
    hit: collections.Counter[str] = collections.Counter()
    for number in range(kills):
        by_call = number % 2 == 1 and not scenario.program_seconds
        moment = draw.randrange(1, calls) if by_call else draw.uniform(0, seconds)
        place = folder / str(number)
        reported, where = trial(scenario, reference, place, moment)
        hit[where] += 1
        if reported:
            faults += 1
            print(f"{name} {number} (seed {seed}), killed in {where}:", *reported, sep="\n  ")
        shutil.rmtree(place, ignore_errors=True)
    places = ", ".join(f"{where} {count}" for where, count in hit.most_common(12))
    print(f"{name}: {kills} kills, {faults} faults; {seconds:.1f} s unkilled; hit {places}")
    sys.stdout.flush()
    return faults


def measured(scenario: Scenario, place: Path) -> tuple[dict[str, Any], float, int]:
    """Do the work unkilled: return what the store holds, the seconds, and the calls it took."""
    if scenario.program_seconds:
        answer(place, walk_and_crown)
        return answer(place, scenario.found), scenario.program_seconds, 0
    answer(place, scenario.prepare)
    started = time.perf_counter()
    calls = answer(place, lambda: counted_calls(scenario))
    seconds = time.perf_counter() - started
    return answer(place, scenario.found), seconds, calls


def counted_calls(scenario: Scenario) -> int:
    """Do the work and return how many functions of the package it called."""
    count = 0

    def note(frame: FrameType, event: str, _: Any) -> None:
        nonlocal count
        count += event == "call" and frame.f_code.co_filename.startswith(ROOT)

    sys.setprofile(note)
    scenario.act()
    sys.setprofile(None)
    return count


def trial(
    scenario: Scenario, reference: dict[str, Any], place: Path, moment: float
) -> tuple[list[str], str]:
    """Kill the work at a moment and do it again; return what is not as it should be, and where."""
    answer(place, scenario.prepare)
    before = answer(place, trainings)
    act = partial(killed_at, scenario, place / "where", moment)
    pid = forking.fork(lambda: at(place, act), log_of(place))
    if scenario.program_seconds:
        time.sleep(moment)
        os.killpg(pid, signal.SIGKILL)
    ended = forking.wait(pid)
    if ended not in {0, KILLED}:
        return [f"it ended with {ended} by itself"], "?"
    where = (
        (place / "where").read_text() if (place / "where").exists() else f"after {moment:.1f} s"
    )
    kept, done = answer(place, recorded), answer(place, trainings)
    answer(place, scenario.act)
    found = answer(place, scenario.found)
    reported = [
        f"{key}: {found[key]} instead of {value}"
        for key, value in reference.items()
        if found[key] != value
    ]
    again = answer(place, trainings) - done
    if before == 0 and again > TOTAL - kept and "numbers" in reference:
        reported.append(
            f"{again} trainings after the kill, though {kept} of {TOTAL} were recorded"
        )
    return reported, where if ended == KILLED else "nothing, it was done"


def killed_at(scenario: Scenario, where: Path, moment: float) -> None:
    """Do the work in this process and kill it: at a time, or at a number of calls."""
    if scenario.program_seconds:
        scenario.act()
    elif isinstance(moment, float):
        threading.Thread(target=kill_after, args=(moment, where), daemon=True).start()
        scenario.act()
    else:
        sys.setprofile(killer_at(moment, where))
        scenario.act()


def kill_after(seconds: float, where: Path) -> None:
    """Kill this process in a while."""
    time.sleep(seconds)
    kill(sys._current_frames()[threading.main_thread().ident or 0], where)


def killer_at(calls: int, where: Path) -> Callable[[FrameType, str, Any], None]:
    """Return what kills this process at the n-th call of a function of the package."""
    count = 0

    def note(frame: FrameType, event: str, _: Any) -> None:
        nonlocal count
        count += event == "call" and frame.f_code.co_filename.startswith(ROOT)
        if count == calls:
            kill(frame, where)

    return note


def kill(frame: FrameType | None, where: Path) -> None:
    """Write which module of the package is at work, and die."""
    while frame is not None and not frame.f_code.co_filename.startswith(ROOT):
        frame = frame.f_back
    module = Path(frame.f_code.co_filename).relative_to(ROOT).as_posix() if frame else "start"
    where.write_text(module.removesuffix(".py"))
    os.kill(os.getpid(), signal.SIGKILL)


def answer(place: Path, function: Callable[[], Any]) -> Any:
    """Call a function for the store of a folder, in a child, and return what it gives."""
    return forking.answer(lambda: at(place, function), log_of(place))


def log_of(place: Path) -> Path:
    """Return the file for what the children of a folder say."""
    place.parent.mkdir(parents=True, exist_ok=True)
    return place.with_suffix(".log")


def at(place: Path, function: Callable[[], Any]) -> Any:
    """Call a function for the store of a folder."""
    place.mkdir(parents=True, exist_ok=True)
    os.environ[config.HOME_VARIABLE] = str(place / "aiqc")
    os.environ[TRAININGS_VARIABLE] = str(place / "trainings")
    try:
        return function()
    finally:
        metastore.close()


if __name__ == "__main__":
    sys.exit(main())
