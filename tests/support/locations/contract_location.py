"""What the contract of the executors runs: four trainings that misbehave when a file says so.

The folder `$AIQC_TEST_NOTES` holds what is to go wrong (`raise.on`, `kill.on`, `endless.on`) and
the lines that an endless training writes while it is at work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from small_experiment import declare, fn_build

from aiqc_core.experiment import Training
from aiqc_dagster.build import experiment

if TYPE_CHECKING:
    import dagster as dg

DEEDS = ("calm", "kill", "raise", "tidy")


def fn_train(
    model: Any, loser: Any, optimizer: Any, train_features: Any, train_label: Any,
    eval_features: Any, eval_label: Any, **hp: Any,
) -> Any:  # fmt: skip
    """A few epochs, unless the notes say otherwise."""
    import os
    import signal
    import time
    from pathlib import Path

    from aiqc_core.utils.pytorch import fit

    notes = Path(os.environ["AIQC_TEST_NOTES"])
    if hp["deed"] == "raise" and (notes / "raise.on").exists():
        message = "raised on purpose"
        raise ValueError(message)
    if hp["deed"] == "kill" and (notes / "kill.on").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    while (notes / "endless.on").exists():
        with (notes / "lines").open("a") as lines:
            lines.write(f"{os.getpid()}\n")
        time.sleep(0.05)
    return fit(
        model, loser, optimizer, train_features, train_label, eval_features, eval_label,
        epochs=3, batch_size=16,
    )  # fmt: skip


EXPERIMENT = declare(
    name="deeds",
    fold_count=None,
    training=Training(
        library="pytorch",
        analysis_type="classification_binary",
        fn_build=fn_build,
        fn_train=fn_train,
        hyperparameters={"deed": list(DEEDS)},
        permute_count=0,
    ),
)


def run_queue() -> dg.JobDefinition:
    """Return the job that trains a Queue, run by the executor that the environment names."""
    return experiment.whole().resolve_job_def("run_queue")
