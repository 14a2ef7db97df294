"""Loaders for trainings that are measured in steps."""

from __future__ import annotations

import lightning.pytorch as pl
from torch.utils.data import DataLoader, Dataset

from wsvs.data.loading import fills_a_batch, make_loader


class StepDataModule(pl.LightningDataModule):
    """A training set that is shuffled (or draws at random by itself) and a fixed validation set."""

    def __init__(self, train: Dataset, val: Dataset, *, batch_size: int, workers: int) -> None:
        super().__init__()
        if batch_size < 1 or workers < 0:
            raise ValueError(f"batch_size must be >= 1 and workers >= 0, got {batch_size} and {workers}")
        self.train_set = train
        self.val_set = val
        self.batch_size = batch_size
        self.workers = workers

    def train_dataloader(self) -> DataLoader:
        whole = fills_a_batch(self, self.train_set, self.batch_size)
        return make_loader(
            self.train_set, batch_size=self.batch_size, workers=self.workers, shuffle=True, drop_last=whole
        )

    def val_dataloader(self) -> DataLoader:
        return make_loader(self.val_set, batch_size=self.batch_size, workers=self.workers)
