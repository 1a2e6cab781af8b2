"""What PyTorch keeps of the process: generators, threads, settings, the memory of devices."""

from __future__ import annotations

import gc
import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from aiqc_core.stages.train.backends import process_state

if TYPE_CHECKING:
    from collections.abc import Generator

cudnn = torch.backends.cudnn


def _set_cudnn(flags: tuple[bool, bool]) -> None:
    cudnn.deterministic, cudnn.benchmark = flags


SETTINGS: list[process_state.Setting] = [
    (torch.get_num_threads, torch.set_num_threads),
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    (lambda: (cudnn.deterministic, cudnn.benchmark), _set_cudnn),
    (
        lambda: (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        lambda how: torch.use_deterministic_algorithms(how[0], warn_only=how[1]),
    ),
]


@contextmanager
def isolated(threads: int) -> Generator[None]:
    """Fix the number of threads, so that sums come out the same on any number of workers.

    What user code sets for the whole process ends with it: the next Job may be another's.
    """
    try:
        with generators_kept(), process_state.kept(SETTINGS):
            torch.set_grad_enabled(True)
            torch.set_num_threads(threads)
            _set_cudnn((True, False))  # equal seeds, equal models on a GPU too
            yield
    finally:
        _free_devices()


def _free_devices() -> None:
    """Give back what torch keeps of a device's memory, for other Jobs and other processes."""
    if torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        gc.collect()
        torch.mps.empty_cache()


def seed(value: int) -> None:
    """Seed Python, numpy and torch."""
    random.seed(value)
    np.random.seed(value)  # noqa: NPY002 - user code draws from this one
    torch.manual_seed(value)


@contextmanager
def drawing(value: int) -> Generator[None]:
    """Seed every generator inside a block, and leave them as they were."""
    with generators_kept():
        seed(value)
        yield


@contextmanager
def generators_kept() -> Generator[None]:
    """Leave every generator as it was."""
    states = generators()
    try:
        yield
    finally:
        restore(states)


def generators() -> dict[str, Any]:
    """Return the states of the generators of Python, numpy and torch, its devices included."""
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002 - user code draws from this one
    return {
        "python": random.getstate(),
        "numpy": [kind, np.asarray(keys).tolist(), *rest],
        "torch": torch.random.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
    }


def restore(states: dict[str, Any]) -> None:
    """Set the generators to what `generators` returned."""
    random.setstate(states["python"])
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, np.asarray(keys, dtype=np.uint32), *rest))  # noqa: NPY002
    torch.random.set_rng_state(states["torch"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])
