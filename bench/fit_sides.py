"""The sides of bench/fit.py: each trains the same model on the same batches in the same order."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Sampler, TensorDataset

if TYPE_CHECKING:
    from collections.abc import Iterator

EPOCHS, BATCH, RATE, SEED = 30, 32, 0.003, 7


def data() -> tuple[torch.Tensor, ...]:
    """Return 455 training and 114 evaluation samples of the breast cancer data, standardised."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.preprocessing import StandardScaler

    x, y = load_breast_cancer(return_X_y=True)
    features = torch.tensor(StandardScaler().fit_transform(x), dtype=torch.float32)
    label = torch.tensor(y, dtype=torch.float32)[:, None]
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    train, test = order[:455], order[455:]
    return features[train], label[train], features[test], label[test]


def network() -> nn.Module:
    """Return the model of every side, with the same weights."""
    torch.manual_seed(SEED)
    return nn.Sequential(
        nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid()
    )


class Shuffled(Sampler[int]):
    """The orders that a loop with `torch.randperm` draws after `torch.manual_seed(SEED)`."""

    def __init__(self, size: int) -> None:
        self.size, self.generator = size, torch.Generator().manual_seed(SEED)

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[int]:
        return iter(torch.randperm(self.size, generator=self.generator).tolist())


def loaders(x: torch.Tensor, y: torch.Tensor, ex: torch.Tensor, ey: torch.Tensor) -> Any:
    """Return a DataLoader of each split."""
    train, test = TensorDataset(x, y), TensorDataset(ex, ey)
    return (
        DataLoader(train, BATCH, sampler=Shuffled(len(x))),
        DataLoader(test, BATCH),
    )


def by_fit(*arrays: torch.Tensor) -> nn.Module:
    """Train by `utils.pytorch.fit`."""
    from aiqc_core.utils.pytorch import fit

    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    torch.manual_seed(SEED)
    fit(
        model, nn.BCELoss(), optimizer, *arrays, epochs=EPOCHS, batch_size=BATCH,
        enforce_sameSize=False, allow_singleSample=True,
    )  # fmt: skip
    return model


def by_slicing(x: torch.Tensor, y: torch.Tensor, ex: torch.Tensor, ey: torch.Tensor) -> nn.Module:
    """Train by a loop that indexes tensors, and scores both splits after each epoch."""
    model, loser = network(), nn.BCELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    torch.manual_seed(SEED)
    history: dict[str, list[float]] = {"loss": [], "val_loss": []}
    for _ in range(EPOCHS):
        model.train()
        for rows in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            loser(model(x[rows]), y[rows]).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            history["loss"].append(loser(model(x), y).item())
            history["val_loss"].append(loser(model(ex), ey).item())
    return model


def by_loader(*arrays: torch.Tensor) -> nn.Module:
    """Train by a loop over DataLoaders, as tutorials do: a running loss, then the other split."""
    model, loser = network(), nn.BCELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    train, test = loaders(*arrays)
    history: dict[str, list[float]] = {"loss": [], "val_loss": []}
    for _ in range(EPOCHS):
        model.train()
        total = 0.0
        for x, y in train:
            optimizer.zero_grad()
            loss = loser(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item()
        history["loss"].append(total / len(train))
        model.eval()
        with torch.no_grad():
            losses = [loser(model(x), y).item() for x, y in test]
        history["val_loss"].append(sum(losses) / len(losses))
    return model


def by_skorch(x: torch.Tensor, y: torch.Tensor, ex: torch.Tensor, ey: torch.Tensor) -> nn.Module:
    """Train by skorch, silently."""
    from skorch import NeuralNet
    from skorch.helper import predefined_split

    net = NeuralNet(
        network(), nn.BCELoss, optimizer=torch.optim.Adam, lr=RATE, max_epochs=EPOCHS,
        batch_size=BATCH, iterator_train__sampler=Shuffled(len(x)), verbose=0,
        train_split=predefined_split(TensorDataset(ex, ey)),
    )  # fmt: skip
    return net.fit(x, y).module_


def by_lightning(*arrays: torch.Tensor) -> nn.Module:
    """Train by pytorch-lightning without logger, checkpoints, bars and sanity checks."""
    import pytorch_lightning as lightning

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)

    class Lit(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model, self.loser = network(), nn.BCELoss()

        def training_step(self, batch: Any, _: int) -> torch.Tensor:
            loss = self.loser(self.model(batch[0]), batch[1])
            self.log("loss", loss, on_step=False, on_epoch=True)
            return loss

        def validation_step(self, batch: Any, _: int) -> None:
            self.log("val_loss", self.loser(self.model(batch[0]), batch[1]))

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), lr=RATE)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            max_epochs=EPOCHS, accelerator="cpu", devices=1, logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            num_sanity_val_steps=0, use_distributed_sampler=False,
        )  # fmt: skip
        module = Lit()
        trainer.fit(module, *loaders(*arrays))
    return module.model


SIDES = {
    "fit": by_fit,
    "slicing": by_slicing,
    "loader": by_loader,
    "skorch": by_skorch,
    "lightning": by_lightning,
}
