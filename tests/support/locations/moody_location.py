"""A code location whose experiment fails one combination for as long as a file is there."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from small_experiment import declare, fn_build, source

from aiqc_dagster.build import experiment

FLAG_VARIABLE = "MOODY_FLAG"


def build_unless_moody(features_shape: tuple[int], label_shape: tuple[int], **hp: Any) -> Any:
    """Refuse four epochs while the file is there."""
    if hp["epochs"] == 4 and os.path.exists(os.environ[FLAG_VARIABLE]):  # noqa: PTH110
        message = "four epochs put me in a mood"
        raise ValueError(message)
    return fn_build(features_shape, label_shape, **hp)


def read() -> Any:
    """Read one row more once there is a second file beside the first."""
    return source(60 + os.path.exists(f"{os.environ[FLAG_VARIABLE]}.grown"))  # noqa: PTH110


demo = declare(source=read)
training = demo.training.model_copy(update={"fn_build": build_unless_moody})
EXPERIMENT = demo.model_copy(
    update={"name": "moody", "training": training, "schedule": "* * * * *"}
)
defs = experiment.build([EXPERIMENT])
