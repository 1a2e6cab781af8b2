"""What TensorFlow would keep of every training for as long as the process lives."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tensorflow.python.framework import ops

if TYPE_CHECKING:
    from collections.abc import Generator

PREFIX = "CustomGradient-"


@contextmanager
def gradients_forgotten() -> Generator[None]:
    """Forget the gradients that were registered inside of the `with` block.

    `tf.custom_gradient`, which Keras uses in every training step, registers its function under a
    new name each time that a graph is traced, and never takes it back. The function holds the
    graph, and with it all variables of model and optimizer. Once a Job is over, nothing traces or
    differentiates its graphs any more.
    """
    registry: dict[str, object] = ops.gradient_registry._registry  # noqa: SLF001 - no public way
    before = set(registry)
    try:
        yield
    finally:
        for name in set(registry) - before:
            if name.startswith(PREFIX):
                del registry[name]
