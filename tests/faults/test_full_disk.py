"""A disk of 40 MiB that fills up: nothing is lost, and one goes on once there is room."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("on_a_small_disk.py")
MOUNT = 'mount -t tmpfs -o size=40m none "$0" && exec "$@"'


@pytest.mark.slow
def test_what_does_not_fit_is_refused_with_its_reason_and_all_else_stays(home: Path) -> None:
    home.mkdir()
    prefix = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", MOUNT, str(home)]
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    done = subprocess.run(
        [*prefix, sys.executable, str(SCRIPT)], capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "AIQC_HOME": str(home)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    large, cached, full = found["reported"]
    assert {one["type"] for one in found["reported"]} == {"MetastoreError"}
    assert {one["sound"] for one in found["reported"]} == {"ok"}
    # Refused before anything is written, as it can be reported.
    assert "46 MiB are to be written" in large["message"]
    assert large["more_rows"] == 0 >= large["more_bytes"]
    # The half-written samples are gone.
    assert "cannot write samples below" in cached["message"]
    assert cached["more_rows"] == 0 >= cached["more_bytes"]
    # Met in the middle of a transaction: what was committed before stays.
    assert "is full. Nothing of this was kept" in full["message"]
    assert found["kept"] == [100, 20_000, 1_000, *[500_000] * full["more_rows"], 200]
