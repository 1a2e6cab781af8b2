"""Whether a Queue of 10,000 Jobs stays usable: seconds to plan, to load, to report, to look at.

A real store, a real instance on disk and a real webserver; the Jobs are planned and their cells
reported as materialised, none is trained. What the asset page asks of the webserver is timed by
asking the same over HTTP.

    python bench/partitions.py [--jobs N]
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
PAGE = """
query Page($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  assetPartitionStatuses { __typename ... on MultiPartitionStatuses {
    primaryDimensionName ranges { primaryDimStartKey secondaryDim {
      ... on DefaultPartitionStatuses { materializedPartitions } } } } }
  partitionStats { numMaterialized numPartitions }
  partitionKeysByDimension { name partitionKeys }
} } }
"""
START_SECONDS = 120


def main() -> None:
    """Time each act once, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    jobs = parser.parse_args().jobs
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, _stores(Path(folder), jobs):
        _plan(seconds)
        with _webserver() as address:
            for name in ("open the asset page, first", "open the asset page, again"):
                with _timed(seconds, name):
                    stats = _page(address)
        assert stats == {"numMaterialized": jobs, "numPartitions": jobs}, stats
    table = Table(title=f"{jobs} Jobs")
    table.add_column("what")
    table.add_column("seconds", justify="right")
    for name, value in seconds.items():
        table.add_row(name, f"{value:.2f}")
    Console(width=100).print(table)


def _plan(seconds: dict[str, float]) -> None:
    with _timed(seconds, "import Dagster and the packages"):
        import dagster as dg

        from aiqc_core.experiment import workflow
        from aiqc_core.orm.results import leaderboard
        from aiqc_dagster.assets import partitions, stages
    with _timed(seconds, "load the code location"):
        from partitions_location import EXPERIMENT, JOBS
    with _timed(seconds, "make the Queue with its Jobs"):
        queue = workflow.prepare(EXPERIMENT, "s1")
    with _timed(seconds, "find every Job by its key"):
        found = workflow.jobs(EXPERIMENT, "s1", EXPERIMENT.job_keys())
    assert len(found) == JOBS == queue.total_runs
    with _timed(seconds, "find one Job by its key"):
        workflow.jobs(EXPERIMENT, "s1", EXPERIMENT.job_keys()[-1:])
    with dg.DagsterInstance.get() as instance:
        with _timed(seconds, "add the snapshot's partition"):
            partitions.add_snapshot(instance, EXPERIMENT, "s1")
        notebook = [partitions.notebook_job(1, 0, i) for i in range(JOBS)]
        with _timed(seconds, "add as many dynamic partitions"):
            partitions.add_notebook_jobs(instance, notebook)
        key = stages.asset_key(EXPERIMENT, "predictor")
        with _timed(seconds, "report every cell as materialised"):
            for job_key in EXPERIMENT.job_keys():
                cell = partitions.cell(snapshot="s1", job=job_key)
                instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=cell))
    with _timed(seconds, "rank an untrained leaderboard"):
        assert not leaderboard.entries(queue, "accuracy")


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    before = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - before


@contextmanager
def _stores(folder: Path, jobs: int) -> Iterator[None]:
    for variable in ("AIQC_HOME", "DAGSTER_HOME"):
        os.environ[variable] = str(folder / variable.lower())
    (folder / "dagster_home").mkdir()
    shutil.copy(HERE.parent / ".dagster_home" / "dagster.yaml", folder / "dagster_home")
    os.environ["BENCH_JOBS"] = str(jobs)
    yield


@contextmanager
def _webserver() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    program = Path(sys.executable).with_name("dagster-webserver")
    location = HERE / "partitions_location.py"
    server = subprocess.Popen(
        [str(program), "-p", port, "-f", str(location), "-d", str(HERE)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/server_info")
        yield address
    finally:
        server.terminate()
        server.wait()


def _wait_for(address: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()  # noqa: S310 - our own server
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def _page(address: str) -> dict[str, int]:
    """Ask what the asset page asks; return its counts."""
    body = {"query": PAGE, "variables": {"key": {"path": ["many", "predictor"]}}}
    request = urllib.request.Request(  # noqa: S310 - our own server
        f"{address}/graphql",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=600) as answer:  # noqa: S310 - our own server
        return json.load(answer)["data"]["assetNodeOrError"]["partitionStats"]


if __name__ == "__main__":
    main()
