"""Generators and settings that PyTorch keeps of the process."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from aiqc_core.stages.train.backends import process_state

cudnn = torch.backends.cudnn


def set_cudnn(flags: tuple[bool, bool]) -> None:
    """Set whether cuDNN is deterministic, and whether it picks the fastest algorithm."""
    cudnn.deterministic, cudnn.benchmark = flags


SETTINGS: list[process_state.Setting] = [
    (torch.get_num_threads, torch.set_num_threads),
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    (lambda: (cudnn.deterministic, cudnn.benchmark), set_cudnn),
    (
        lambda: (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        lambda how: torch.use_deterministic_algorithms(how[0], warn_only=how[1]),
    ),
]


def seed(value: int) -> None:
    """Seed Python, numpy and torch."""
    random.seed(value)
    np.random.seed(value)  # noqa: NPY002 - user code draws from this one
    torch.manual_seed(value)


def generators() -> dict[str, Any]:
    """Return the states of the generators of Python, numpy and torch, its devices included."""
    return process_state.generators() | {
        "torch": torch.random.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
    }


def restore(states: dict[str, Any]) -> None:
    """Set the generators to what `generators` returned."""
    process_state.restore_generators(states)
    torch.random.set_rng_state(states["torch"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])
