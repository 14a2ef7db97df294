"""Loaders of a training."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from torch.utils.data import DataLoader, Dataset

from wsvs.config.base import Natural, Positive
from wsvs.config.checked import checked
from wsvs.data.loading import make_loader
from wsvs.data.visits import Once, Present, Visits


class TrainingData(pl.LightningDataModule):
    """A training set in the order of `Visits`, and a validation set as it is, of which each rank has its share once.

    Where the trainer counts steps, an epoch is the whole training: its loaders never run dry. Where it counts epochs,
    one is a pass over the images, or as much of it as makes whole optimizer steps.

    Args:
        train: Its items are asked for by `Visit`s.
        val: Its items are asked for by numbers.
        batch_size: Images of a batch, of each rank.
        val_batch_size: The same for validation; `batch_size` if it is not given.
        workers: Loader processes; 0 loads in the main process.
        seed: Of order and crops.
    """

    @checked
    def __init__(
        self,
        train: Dataset[Any],
        val: Dataset[Any],
        *,
        batch_size: Positive,
        workers: Natural,
        seed: int,
        val_batch_size: Positive | None = None,
    ) -> None:
        super().__init__()
        self.train_set = train
        self.val_set = val
        self.batch_size = batch_size
        self.val_batch_size = val_batch_size or batch_size
        self.workers = workers
        self.seed = seed
        self.reached = (0, 0)  # epoch, and batches of it that are behind us

    def train_dataloader(self) -> DataLoader[Any]:
        trainer = self.trainer
        assert trainer is not None
        size, accumulated = len(self.train_set), trainer.accumulate_grad_batches  # type: ignore[arg-type]
        if trainer.max_epochs == -1 and trainer.max_steps > 0:
            steps = trainer.max_steps
        else:
            steps = max(1, size // (self.batch_size * trainer.world_size * accumulated))
        visits = Visits(
            size,
            length=steps * accumulated * self.batch_size,
            seed=self.seed,
            rank=trainer.global_rank,
            ranks=trainer.world_size,
        )
        epoch, batches = self.reached
        visits.go_to(epoch, batches * self.batch_size)
        return make_loader(self.train_set, batch_size=self.batch_size, workers=self.workers, sampler=visits)

    def val_dataloader(self) -> DataLoader[Any]:
        trainer = self.trainer
        assert trainer is not None
        dataset, share = self.val_set, None
        if trainer.world_size > 1:
            size = len(dataset)  # type: ignore[arg-type]
            dataset, share = Present(dataset), Once(size, rank=trainer.global_rank, ranks=trainer.world_size)
        return make_loader(dataset, batch_size=self.val_batch_size, workers=self.workers, sampler=share)

    def state_dict(self) -> dict[str, Any]:
        assert self.trainer is not None
        return {"epoch": self.trainer.current_epoch, "batches": self.trainer.fit_loop.batch_idx + 1}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.reached = state_dict["epoch"], state_dict["batches"]
