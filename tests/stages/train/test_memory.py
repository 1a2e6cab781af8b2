"""Memory: its peak in a training, and which errors tell that it ran out."""

from __future__ import annotations

import pytest

from aiqc_core.stages.train.hooks import memory


class OutOfMemoryError(RuntimeError):
    """Named as torch.cuda's."""


class ResourceExhaustedError(Exception):
    """Named as TensorFlow's."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (OutOfMemoryError("device"), True),
        (ResourceExhaustedError("OOM when allocating tensor"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("the word list is out of memory cards"), False),
        (SystemExit(0), False),
    ],
)
def test_errors_of_each_framework_are_distinguished(
    error: BaseException, *, expected: bool
) -> None:
    """B14."""
    assert memory.ran_out(error) is expected


def test_a_cause_that_was_wrapped_is_found_and_a_circle_ends() -> None:
    outer = ValueError("the layer failed")
    outer.__cause__ = MemoryError()
    assert memory.ran_out(outer)
    circle = ValueError("round")
    circle.__cause__ = KeyError("and round")
    circle.__cause__.__cause__ = circle
    assert not memory.ran_out(circle)


def test_the_peak_is_of_what_was_held_since_it_was_reset() -> None:
    memory.reset_peak()
    before = memory.peak_mb()
    held = bytearray(b"x" * (150 * memory.MEBIBYTE))
    del held
    assert memory.peak_mb() > before + 140
    memory.reset_peak()
    assert memory.peak_mb() < before + 140
