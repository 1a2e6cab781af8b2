"""`utils.pytorch.fit` against the loops a user would write, skorch and pytorch-lightning.

Every side trains the same perceptron from the same weights for 30 epochs of the same batches, in
memory and on one thread, so that CPU seconds are what counts; that they end with the same loss is
checked. Then 24 Jobs that differ in learning rate, weight decay and seed are run one by one, and
stacked.

    python bench/fit.py [--rounds N] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import fit_sides
import fit_stack
import torch
from rich.console import Console
from rich.table import Table

NAMES = {
    "fit": "utils.pytorch.fit",
    "slicing": "plain loop, tensors indexed",
    "loader": "plain loop, DataLoader",
    "skorch": "skorch",
    "lightning": "pytorch-lightning",
}


def main() -> None:
    """Time each side in turn, round by round, and print the ratios of the least CPU seconds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    arrays = fit_sides.data()
    seconds = {side: float("inf") for side in NAMES}
    for side in NAMES:
        fit_sides.SIDES[side](*arrays)  # imports, and what is made at first use
    for _ in range(options.rounds):
        losses = {}
        for side, best in seconds.items():
            before = time.process_time()
            model = fit_sides.SIDES[side](*arrays)
            seconds[side] = min(best, time.process_time() - before)
            losses[side] = final_loss(model, arrays)
        assert max(losses.values()) - min(losses.values()) < 1e-5, losses
    report(seconds, losses, fit_stack.compare(min(options.rounds, 3)), as_json=options.json)


def final_loss(model: torch.nn.Module, arrays: tuple[torch.Tensor, ...]) -> float:
    """Return the loss of a trained model on the training samples."""
    with torch.no_grad():
        return torch.nn.functional.binary_cross_entropy(model.eval()(arrays[0]), arrays[1]).item()


def report(
    seconds: dict[str, float], losses: dict[str, float], stack: dict[str, float], *, as_json: bool
) -> None:
    """Print two tables; with `--json` one object on the last line."""
    console = Console()
    table = Table(
        "side", "seconds", "ratio to fit", "final loss", title="30 epochs, least CPU seconds"
    )
    for side, value in seconds.items():
        ratio = f"{value / seconds['fit']:.2f}"
        table.add_row(NAMES[side], f"{value:.3f}", ratio, f"{losses[side]:.6f}")
    console.print(table)
    table = Table("24 Jobs", "one by one", "stacked", "gain", title="Stacked training, seconds")
    for part, name in {"training": "training (wall)", "all": "all of the Job (CPU)"}.items():
        alone, stacked = stack[f"alone_{part}"], stack[f"stacked_{part}"]
        table.add_row(name, f"{alone:.2f}", f"{stacked:.2f}", f"{alone / stacked:.1f}")
    console.print(table)
    typical, most = stack["apart_median"], stack["apart_most"]
    console.print(f"Final losses differ by {typical:.0e} (median), {most:.0e} (most).")
    if as_json:
        figures = {f"{side}_seconds": value for side, value in seconds.items()}
        sys.stdout.write(json.dumps(figures | {f"stack_{k}": v for k, v in stack.items()}) + "\n")


if __name__ == "__main__":
    main()
