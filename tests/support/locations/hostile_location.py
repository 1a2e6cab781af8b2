"""A code location whose columns, classes and texts are written to run scripts in a browser."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import small_experiment
from sklearn.preprocessing import LabelBinarizer, StandardScaler

from aiqc_core.experiment import FeatureEncoder, Pipeline, Training
from aiqc_dagster.build import experiment

if TYPE_CHECKING:
    import pandas as pd

HARM = "<img src=/harm.png onerror=window.harmed=1><script>window.harmed=1</script>"
LINK = "[x](javascript:window.harmed=1) ![y](/harm.png)"


def source() -> pd.DataFrame:
    """The small experiment's data under other names."""
    names = {"x": f"x {HARM}", "z": f"z {LINK}", "y": f"y {HARM}"}
    frame = small_experiment.source().rename(columns=names)
    return frame.replace({"up": f"up {HARM}", "down": f"down {LINK}"})


def fn_train(*arguments: Any, **hp: Any) -> Any:
    """Fail with a text that would leave its block of code."""
    if hp["epochs"] == 2:
        message = f"```\n\n{HARM}\n\n{LINK}\n\n```"
        raise RuntimeError(message)
    return small_experiment.fn_train(*arguments, **hp)


EXPERIMENT = small_experiment.declare(
    name="hostile",
    source=source,
    description=f"# {HARM}\n\n{LINK}",
    pipeline=Pipeline(
        label=f"y {HARM}",
        label_encoder=LabelBinarizer(),
        feature_encoders=[FeatureEncoder(encoder=StandardScaler())],
        size_test=0.2,
        size_validation=0.2,
    ),
    training=Training(
        library="pytorch",
        analysis_type="classification_binary",
        fn_build=small_experiment.fn_build,
        fn_train=fn_train,
        hyperparameters={"epochs": [1, 2], "note": [HARM]},
        permute_count=1,
    ),
)

defs = experiment.build([EXPERIMENT])
