"""The sides of the sweep that need no Dagster: one whole run in this process and its children."""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

GRID = {
    "neurons": [8, 16, 24, 32],
    "learning_rate": [0.001, 0.003, 0.005, 0.01, 0.02, 0.03],
}
SEED = 7


def bare_model(neurons: int, learning_rate: float, data: dict[str, Any]) -> float:
    """Train one model as a user would by hand; return its test accuracy."""
    import torch
    from sweep_loop import train
    from torch import nn, optim

    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    x, y, eval_x, eval_y, test_x, test_y = (
        torch.tensor(data[name], dtype=torch.float32) for name in data
    )
    model = nn.Sequential(
        nn.Linear(x.shape[1], neurons), nn.ReLU(), nn.Linear(neurons, 1), nn.Sigmoid()
    )
    optimizer = optim.Adam(model.parameters(), lr=learning_rate)
    train(model, nn.BCELoss(), optimizer, x, y, eval_x, eval_y)
    with torch.no_grad():
        return ((model(test_x) > 0.5) == test_y).float().mean().item()


def encoded() -> dict[str, Any]:
    """Split and scale the data by hand."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    x, y = load_breast_cancer(return_X_y=True)
    x, test_x, y, test_y = train_test_split(x, y, test_size=0.2, stratify=y, random_state=SEED)
    x, eval_x, y, eval_y = train_test_split(x, y, test_size=0.25, stratify=y, random_state=SEED)
    scaler = StandardScaler().fit(x)
    return {
        "x": scaler.transform(x), "y": y[:, None],
        "eval_x": scaler.transform(eval_x), "eval_y": eval_y[:, None],
        "test_x": scaler.transform(test_x), "test_y": test_y[:, None],
    }  # fmt: skip


def grid() -> list[dict[str, Any]]:
    """Return the 24 combinations."""
    return [dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())]


def run_joblib() -> None:
    """Train the grid on two processes; nothing is kept."""
    from joblib import Parallel, delayed

    data = encoded()
    scores = Parallel(n_jobs=2)(delayed(bare_model)(**values, data=data) for values in grid())
    assert len(scores) == len(grid())
    assert max(scores) > 0.9


def run_optuna() -> None:
    """Train the grid as the trials of an Optuna study that two processes share by a file.

    The trials are queued beforehand, so that they are the same 24; each process takes its half,
    one after another. Parameters and scores are kept, models and predictions are not.
    """
    import optuna
    from joblib import Parallel, delayed

    data = encoded()
    with tempfile.TemporaryDirectory() as folder:
        study = optuna.create_study(
            study_name="sweep", storage=journal(folder), direction="maximize"
        )
        for values in grid():
            study.enqueue_trial(values)
        half = len(grid()) // 2
        Parallel(n_jobs=2)(delayed(optuna_worker)(folder, half, data) for _ in range(2))
        tried = [tuple(trial.params.values()) for trial in study.trials]
        assert len(set(tried)) == len(tried) == len(grid())
        assert study.best_value > 0.9


def journal(folder: str) -> Any:
    """Open the file that the processes share, as Optuna advises for several of them."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(f"{folder}/study.log"))


def optuna_worker(folder: str, trials: int, data: dict[str, Any]) -> None:
    """Take trials of the shared study and train them."""
    import optuna

    def objective(trial: optuna.Trial) -> float:
        neurons = trial.suggest_categorical("neurons", GRID["neurons"])
        rate = trial.suggest_categorical("learning_rate", GRID["learning_rate"])
        return bare_model(neurons, rate, data)

    study = optuna.load_study(study_name="sweep", storage=journal(folder))
    study.optimize(objective, n_trials=trials)


def run_ray() -> None:
    """Train the grid as the trials of Ray Tune, two at a time, each on a core of its own."""
    import ray
    from ray import tune

    data = encoded()

    def trial(config: dict[str, Any]) -> dict[str, float]:
        return {"accuracy": bare_model(**config, data=data)}

    here = str(Path(__file__).parent)
    with tempfile.TemporaryDirectory() as folder:
        ray.init(
            num_cpus=2, include_dashboard=False, logging_level="ERROR",
            runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join([here, *sys.path])}},
        )  # fmt: skip
        tuner = tune.Tuner(
            tune.with_resources(trial, {"cpu": 1}),
            param_space={name: tune.grid_search(values) for name, values in GRID.items()},
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        results = tuner.fit()
        ray.shutdown()
    scores = [result.metrics["accuracy"] for result in results if result.metrics]
    assert len(scores) == len(grid())
    assert max(scores) > 0.9


def run_queue() -> None:
    """Train the same grid as a Queue."""
    from sweep_experiment import EXPERIMENT

    from aiqc_core.experiment import workflow

    workflow.run(EXPERIMENT, workers=2)


if __name__ == "__main__":
    sides = {"joblib": run_joblib, "optuna": run_optuna, "ray": run_ray, "run_jobs": run_queue}
    sides[sys.argv[1]]()
