"""The training loop that every side of the sweep runs, as a user would write it."""

from __future__ import annotations

from typing import Any

EPOCHS, BATCH = 30, 32


def train(
    model: Any, loser: Any, optimizer: Any, x: Any, y: Any, eval_x: Any, eval_y: Any, **hp: Any
) -> Any:
    """Train for 30 epochs, scoring both splits after each; return history and model."""
    import torch

    del hp
    history: dict[str, list[float]] = {
        "loss": [],
        "accuracy": [],
        "val_loss": [],
        "val_accuracy": [],
    }
    for _ in range(EPOCHS):
        model.train()
        for rows in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            loser(model(x[rows]), y[rows]).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            for prefix, part, target in (("", x, y), ("val_", eval_x, eval_y)):
                output = model(part)
                history[f"{prefix}loss"].append(loser(output, target).item())
                right = ((output > 0.5) == target).float().mean().item()
                history[f"{prefix}accuracy"].append(right)
    return history, model
