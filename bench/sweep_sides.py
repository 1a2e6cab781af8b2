"""The sides of the sweep that need no Dagster: one whole run in this process and its children."""

from __future__ import annotations

import itertools
import sys
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


def run_joblib() -> None:
    """Encode by hand, then train the grid on two processes."""
    from joblib import Parallel, delayed
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    x, y = load_breast_cancer(return_X_y=True)
    x, test_x, y, test_y = train_test_split(x, y, test_size=0.2, stratify=y, random_state=SEED)
    x, eval_x, y, eval_y = train_test_split(x, y, test_size=0.25, stratify=y, random_state=SEED)
    scaler = StandardScaler().fit(x)
    data = {
        "x": scaler.transform(x), "y": y[:, None],
        "eval_x": scaler.transform(eval_x), "eval_y": eval_y[:, None],
        "test_x": scaler.transform(test_x), "test_y": test_y[:, None],
    }  # fmt: skip
    scores = Parallel(n_jobs=2)(
        delayed(bare_model)(neurons, rate, data)
        for neurons, rate in itertools.product(*GRID.values())
    )
    assert max(scores) > 0.9


def run_queue() -> None:
    """Train the same grid as a Queue."""
    from sweep_location import EXPERIMENT

    from aiqc_core import chain

    chain.run(EXPERIMENT, workers=2)


if __name__ == "__main__":
    {"joblib": run_joblib, "run_jobs": run_queue}[sys.argv[1]]()
