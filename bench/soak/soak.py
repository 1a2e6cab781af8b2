"""Schedule ticks with changing data for a while: does anything grow that should not?

    make soak MINUTES=10

`dagster dev` runs with its daemon; every minute the data change, the schedule adds them as
the day's snapshot and three models are trained. After each minute a line says what the long-lived
processes hold and how large the stores are. At the end it reports the growth a tick, from the
second half of the ticks alone, once caches are warm.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
from sklearn.datasets import load_breast_cancer

from aiqc_core import config
from aiqc_core.orm import Attempt, Predictor
from aiqc_core.orm.admin.gc import size_of

if TYPE_CHECKING:
    from collections.abc import Generator

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
PLACE = ("-f", str(HERE / "soak_location.py"), "-a", "defs")
MEBIBYTE = 2**20
TICK_SECONDS = 60.0
MOST_MEMORY_MB, MOST_HANDLES = 2.0, 1.0  # growth a tick that is called flat


@dataclass(frozen=True)
class Sample:
    """What was seen after a tick.

    Attributes:
        minute: since the start.
        predictors: recorded so far.
        failed: trainings that did not end well.
        memory_mb: resident, of the webserver, the daemon and the code server together.
        handles: that these hold open.
        store_mb: the metastore.
        cache_mb: samples.
        events_mb: Dagster's instance: runs, events, logs.
    """

    minute: float
    predictors: int
    failed: int
    memory_mb: float
    handles: int
    store_mb: float
    cache_mb: float
    events_mb: float


def main() -> int:
    """Soak; return 0 when memory and handles stay flat and every tick trained its models."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=int, default=120)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory(prefix="aiqc-soak-") as name:
        folder = Path(name)
        settle(folder)
        print("".join(f"{field.name:>12}" for field in fields(Sample)))
        with dagster_dev(folder) as process:
            samples = watch(process, folder, minutes)
    return judge(samples)


def settle(folder: Path) -> None:
    """Point everything at stores of this run and turn the schedule on."""
    (folder / "dagster").mkdir()
    shutil.copy(ROOT / ".dagster_home" / "dagster.yaml", folder / "dagster")
    os.environ |= {
        config.HOME_VARIABLE: str(folder / "aiqc"),
        "DAGSTER_HOME": str(folder / "dagster"),
        "SOAK_FILE": str(folder / "rows.csv"),
    }
    change(folder, 0)
    command = [program("dagster"), "schedule", "start", "soak_schedule", *PLACE]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


def change(folder: Path, tick: int) -> None:
    """Write data of another content, whole or not at all."""
    frame = load_breast_cancer(as_frame=True).frame
    frame = frame.assign(diagnosis=frame.pop("target").map({0: "malignant", 1: "benign"}))
    noise = np.random.default_rng(tick).normal(scale=1e-3, size=len(frame))
    frame.assign(**{"mean radius": frame["mean radius"] + noise}).to_csv(
        folder / "draft", index=False
    )
    (folder / "draft").replace(folder / "rows.csv")


@contextmanager
def dagster_dev(folder: Path) -> Generator[psutil.Process]:
    """Run `dagster dev` on a free port, and end it and all that it started."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    with (folder / "dev.log").open("w") as log:
        process = subprocess.Popen(
            [program("dagster"), "dev", *PLACE, "-h", "127.0.0.1", "-p", port],
            cwd=ROOT, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        yield psutil.Process(process.pid)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def watch(process: psutil.Process, folder: Path, minutes: int) -> list[Sample]:
    """Change the data every minute and note what is held."""
    started, samples = time.monotonic(), []
    for tick in range(1, minutes + 1):
        time.sleep(max(started + tick * TICK_SECONDS - time.monotonic(), 0))
        samples.append(sample(process, folder, time.monotonic() - started))
        values = astuple(samples[-1])
        print("".join(f"{v:>12.1f}" if isinstance(v, float) else f"{v:>12}" for v in values))
        sys.stdout.flush()
        change(folder, tick)
    return samples


def sample(process: psutil.Process, folder: Path, seconds: float) -> Sample:
    """Look at the processes that stay, and at the stores."""
    memory, handles = 0.0, 0
    for each in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            if "execute_run" in each.cmdline() or "aiqc_core.workers.process" in each.cmdline():
                continue  # of one run alone
            memory += each.memory_info().rss / MEBIBYTE
            handles += each.num_fds()
    there = config.database_path().exists()
    samples = config.samples_path()
    return Sample(
        minute=seconds / 60,
        predictors=Predictor.select().count() if there else 0,
        failed=Attempt.select().where(Attempt.status == "failed").count() if there else 0,
        memory_mb=memory,
        handles=handles,
        store_mb=sum(p.stat().st_size for p in config.home().glob("aiqc.sqlite*")) / MEBIBYTE,
        cache_mb=(size_of(samples) if samples.exists() else 0) / MEBIBYTE,
        events_mb=size_of(folder / "dagster") / MEBIBYTE,
    )


def judge(samples: list[Sample]) -> int:
    """Tell the growth a tick in the second half, and whether it is flat where it should be."""
    later = samples[len(samples) // 2 :]
    if len(later) < 2:
        print("too short to tell a growth: give at least 4 minutes")
        return 1
    growth = {
        field.name: (getattr(later[-1], field.name) - getattr(later[0], field.name))
        / (len(later) - 1)
        for field in fields(Sample)
    }
    print("growth a tick: " + ", ".join(f"{name} {value:.2f}" for name, value in growth.items()))
    sound = {
        "memory flat": growth["memory_mb"] <= MOST_MEMORY_MB,
        "handles flat": growth["handles"] <= MOST_HANDLES,
        "every tick trained": growth["predictors"] > 0,
        "none failed": samples[-1].failed == 0,
    }
    print(", ".join(f"{name}: {'yes' if holds else 'NO'}" for name, holds in sound.items()))
    return 0 if all(sound.values()) else 1


def program(name: str) -> str:
    """Return the path of one of Dagster's commands."""
    return str(Path(sys.executable).with_name(name))


if __name__ == "__main__":
    sys.exit(main())
