"""Devices are found, named and hidden as settings say; slots are leased across processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from places import ROOT

from aiqc_core.devices import devices, faults, leases, nvml
from aiqc_core.devices.devices import CPU, Device, Slot
from aiqc_core.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lock files of this test alone, and no settings."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for name in list(os.environ):
        if name.startswith(("AIQC_DEVICE", "AIQC_SLOTS", "AIQC_GPUS", "CUDA_")):
            monkeypatch.delenv(name)
    return tmp_path / f"aiqc-devices-{os.getuid()}"


def labels() -> list[str]:
    """Return the labels of the devices that are found."""
    return [device.label for device in devices.found()]


needs_no_driver = pytest.mark.skipif(bool(nvml.listed()), reason="this machine has a GPU")


@needs_no_driver
def test_without_a_driver_training_is_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """NVML's absence is real here: the library is asked for and is not there."""
    assert nvml.driver() is None
    assert nvml.fault("GPU-1") is None
    assert devices.found() in {(CPU,), (devices.MPS,)}
    assert devices.slots() == ()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert "cuda:0" not in labels()


@needs_no_driver
def test_what_nobody_measures_is_not_recorded() -> None:
    with nvml.watched("GPU-1") as seen:
        assert seen == {}
    assert seen == {}


@needs_no_driver
def test_a_list_of_devices_is_taken_at_its_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIQC_DEVICES", "cuda:0, cuda:2,cuda:GPU-8932f937-d72c")
    assert labels() == ["cuda:0", "cuda:2", "cuda:GPU-8932f937-d72c"]
    assert [device.visible for device in devices.found()] == ["0", "2", "GPU-8932f937-d72c"]


def test_devices_are_shared_evenly_before_one_is_shared_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIQC_DEVICES", "cuda:0,cuda:1")
    monkeypatch.setenv("AIQC_SLOTS_PER_DEVICE", "2")
    found = [(slot.device.label, slot.index) for slot in devices.slots()]
    assert found == [("cuda:0", 0), ("cuda:1", 0), ("cuda:0", 1), ("cuda:1", 1)]


@pytest.mark.parametrize(
    ("variable", "value", "reported"),
    [
        ("AIQC_DEVICES", "gpu0", "'gpu0' is no device here. Give auto, cpu"),
        ("AIQC_DEVICES", "cuda", "'cuda' is no device here"),
        ("AIQC_DEVICES", "cuda:-1", "'cuda:-1' is no device here"),
        ("AIQC_DEVICES", "cpu,cuda:0", "'cpu' is no device here"),
        ("AIQC_DEVICES", "cuda:0,", "'' is no device here"),
        ("AIQC_DEVICES", "cuda:0,cuda:0", "names a device twice.*AIQC_SLOTS_PER_DEVICE"),
        ("AIQC_SLOTS_PER_DEVICE", "0", "AIQC_SLOTS_PER_DEVICE='0': give a whole number from 1"),
        ("AIQC_SLOTS_PER_DEVICE", "many", "AIQC_SLOTS_PER_DEVICE='many'"),
        ("AIQC_GPUS_PER_JOB", "-1", "AIQC_GPUS_PER_JOB='-1': give a whole number from 0"),
    ],
)
def test_a_malformed_setting_is_refused_by_name_and_value(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, reported: str
) -> None:
    monkeypatch.setenv("AIQC_DEVICES", "cuda:0")
    monkeypatch.setenv(variable, value)
    with pytest.raises(TrainingError, match=reported):
        devices.slots()


@needs_no_driver
def test_a_device_that_cuda_hides_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIQC_DEVICES", "cuda:2")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert labels() == ["cuda:2"]
    for hidden in ("0,1", "", "0,-1,2"):  # CUDA sees nothing of what follows an invalid entry
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        with pytest.raises(TrainingError, match=r"CUDA_VISIBLE_DEVICES=.* hides cuda:2"):
            devices.found()


@pytest.mark.parametrize("setting", [{"AIQC_DEVICES": "cpu"}, {"AIQC_GPUS_PER_JOB": "0"}])
def test_no_device_is_leased_nor_seen_where_none_is_wanted(
    monkeypatch: pytest.MonkeyPatch, setting: dict[str, str]
) -> None:
    for name, value in ({"AIQC_DEVICES": "cuda:0"} | setting).items():
        monkeypatch.setenv(name, value)
    assert devices.slots() == ()
    assert devices.environment_without_slots()["CUDA_VISIBLE_DEVICES"] == ""


def test_a_worker_receives_its_one_device_and_how_to_use_it() -> None:
    reported = devices.environment(Slot(Device("cuda:3", "3"), 0))
    assert reported["CUDA_VISIBLE_DEVICES"] == "3"
    assert reported["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert reported["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
    assert devices.environment(None)["CUDA_VISIBLE_DEVICES"] == ""
    assert devices.environment(Slot(devices.MPS, 0))["PYTORCH_ENABLE_MPS_FALLBACK"] == "1"


def test_a_process_with_its_own_device_has_no_slots_to_give(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slot = Slot(Device("cuda:1", "1"), 0)
    for name, value in devices.environment(slot).items():
        monkeypatch.setenv(name, value)
    assert devices.slots() == ()
    assert devices.own().label == "cuda:1"


def test_a_slot_is_leased_once(folder: Path) -> None:
    slot = Slot(Device("cuda:0", "0"), 0)
    lease = leases.take(slot)
    assert lease is not None
    assert leases.take(slot) is None
    assert [path.name for path in folder.iterdir()] == ["cuda-0.lock"]
    assert folder.stat().st_mode & 0o777 == 0o700
    lease.close()
    again = leases.take(slot)
    assert again is not None
    again.close()


def test_a_whole_device_waits_for_all_its_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also between runs that cut a device differently."""
    monkeypatch.setenv("AIQC_SLOTS_PER_DEVICE", "2")
    device = Device("cuda:0", "0")
    first, second = (leases.take(Slot(device, index)) for index in (0, 1))
    assert first is not None
    assert second is not None
    assert leases.take(Slot(device, 0)) is None
    for lease in (first, second):
        assert leases.take(Slot(device, 0), whole=True) is None
        monkeypatch.setenv("AIQC_SLOTS_PER_DEVICE", "1")
        assert leases.take(Slot(device, 0)) is None
        monkeypatch.setenv("AIQC_SLOTS_PER_DEVICE", "2")
        lease.close()
    whole = leases.take(Slot(device, 0), whole=True)
    assert whole is not None
    assert leases.take(Slot(device, 1)) is None
    whole.close()


def test_a_folder_that_is_not_ours_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TrainingError, match=r"cannot hold the locks.*TMPDIR"):
        leases.take(Slot(Device("cuda:0", "0"), 0))


HOLD = """
import sys, time
from aiqc_core.devices import leases
leases.lease_for_this_process()
import os
print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder() -> Iterator[subprocess.Popen[str]]:
    """Another process of this host that trains on the first device."""
    process = start_holder()
    yield process
    process.kill()
    process.communicate()


def start_holder() -> subprocess.Popen[str]:
    """Start a process that leases a slot."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD],
        env={**os.environ, "AIQC_DEVICES": "cuda:0,cuda:1", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> str:
    """Return the next line that a process says."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_two_runs_on_one_machine_get_two_devices_and_a_killed_one_gives_its_back(
    holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel frees the lock: SIGKILL leaves nothing behind."""
    monkeypatch.setenv("AIQC_DEVICES", "cuda:0,cuda:1")
    slots = devices.slots()
    assert said(holder) == "0"
    assert leases.take(slots[0]) is None
    assert leases.holders(slots[:1]) == f"cuda:0 (process {holder.pid})"
    other = leases.take_any(slots)
    assert other is not None
    assert other.device.label == "cuda:1"
    other.close()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    again = leases.take(slots[0])
    assert again is not None
    again.close()


@pytest.mark.parametrize(
    ("text", "is_lost", "is_spoilt"),
    [
        ("CUDA error: uncorrectable ECC error encountered", True, False),
        ("CUDA error: unknown error\nCompile with TORCH_USE_CUDA_DSA", True, False),
        ("CUDA error: device not found", True, False),
        ("CUDA error: device-side assert triggered", False, True),
        ("CUDA error: invalid device ordinal", False, False),
        ("an unknown error of my own", False, False),
    ],
)
def test_errors_tell_whether_the_device_is_lost(
    monkeypatch: pytest.MonkeyPatch, text: str, is_lost: object, is_spoilt: object
) -> None:
    outer = ValueError("in fn_train")
    outer.__cause__ = RuntimeError(text)
    assert faults.loss(outer) is None  # this process has no device that it could lose
    for name, value in devices.environment(Slot(Device("cuda:1", "1"), 0)).items():
        monkeypatch.setenv(name, value)
    reason = faults.loss(outer)
    assert (reason is not None, faults.is_spoilt(outer)) == (is_lost, is_spoilt)
    if reason is not None:
        assert reason.startswith("the device cuda:1 is lost: CUDA error")
        assert "nvidia-smi" in reason
        assert "AIQC_DEVICES" in reason
