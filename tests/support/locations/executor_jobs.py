"""Jobs that misbehave in every way that `test_executor.py` asks about."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from aiqc_dagster.executors import choose
from aiqc_dagster.executors.warm_pool import warm_pool_executor


class Plan(dg.Config):
    """What each mapped step does: one of the names in `work`."""

    deeds: list[str]


class Notes(dg.ConfigurableResource[None]):
    """A folder in which steps leave a line each time they are at work."""

    folder: str

    def add(self, name: str, line: object) -> None:
        """Append a line to the file `name`."""
        with (Path(self.folder) / name).open("a") as file:
            file.write(f"{line}\n")

    def read(self, name: str) -> list[str]:
        """Return the lines of the file `name`."""
        path = Path(self.folder) / name
        return path.read_text().splitlines() if path.exists() else []


@dg.op(out=dg.DynamicOut(str))
def plan(config: Plan) -> Iterator[dg.DynamicOutput[str]]:
    """Map one step a deed."""
    for number, deed in enumerate(config.deeds):
        yield dg.DynamicOutput(deed, mapping_key=f"{deed}_{number}")


def _count_attempts(notes: Notes, deed: str) -> int:
    notes.add(deed, os.getpid())
    return len(notes.read(deed))


def _wait_for_the_end(notes: Notes) -> None:
    try:
        notes.add("working", os.getpid())
        time.sleep(60)
    except dg.DagsterExecutionInterruptedError:
        notes.add("interrupted", os.getpid())
        raise


@dg.op(retry_policy=dg.RetryPolicy(max_retries=1))
def work(context: dg.OpExecutionContext, deed: str, notes: Notes) -> str:
    """Do one deed."""
    if deed == "raise":
        raise dg.Failure(description="raised on purpose", allow_retries=False)
    if deed == "exit":
        sys.exit(0)
    if deed == "killed" or (deed == "killed_once" and _count_attempts(notes, deed) == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if deed == "flaky" and _count_attempts(notes, deed) == 1:
        msg = "fails the first time"
        raise RuntimeError(msg)
    if deed == "sleep":
        _wait_for_the_end(notes)
    print(f"stdout of {deed}")  # noqa: T201 - the compute log is the point
    print(f"stderr of {deed}", file=sys.stderr)  # noqa: T201
    context.log.info("logged by %s", deed)
    return deed


@dg.op
def count(deeds: list[str]) -> int:
    """Collect what succeeded."""
    return len(deeds)


@dg.job(executor_def=warm_pool_executor, resource_defs={"notes": Notes(folder="")})
def deeds_job() -> None:
    """Map deeds and collect them."""
    count(plan().map(work).collect())


def _stay(notes: Notes, name: str) -> None:
    notes.add(name, "in")
    time.sleep(0.1)
    notes.add(name, "out")


@dg.op(pool="narrow")
def work_in_pool(deed: str, notes: Notes) -> str:
    """Note when a step of the pool enters and leaves."""
    if deed == "sleep":
        _wait_for_the_end(notes)
    _stay(notes, "pool")
    return deed


@dg.op(tags={"weight": "heavy"})
def work_with_tag(deed: str, notes: Notes) -> str:
    """Note when a step with the tag enters and leaves."""
    _stay(notes, "tag")
    return deed


@dg.op
def work_freely(deed: str, notes: Notes) -> str:
    """Note when an unlimited step enters and leaves."""
    _stay(notes, "free")
    return deed


@dg.job(executor_def=warm_pool_executor, resource_defs={"notes": Notes(folder="")})
def limits_job() -> None:
    """Map the same deeds over ops of three kinds."""
    deeds = plan()
    deeds.map(work_in_pool)
    deeds.map(work_with_tag)
    deeds.map(work_freely)


@dg.op
def note_what_is_loaded(deed: str, notes: Notes) -> None:
    """Note the process, and whether it holds what the run's process had imported."""
    notes.add(deed, f"{os.getpid()} {'torch' in sys.modules}")


@dg.job(executor_def=choose.chosen(), resource_defs={"notes": Notes(folder="")})
def loaded_job() -> None:
    """Run by the executor that the environment names."""
    plan().map(note_what_is_loaded)
