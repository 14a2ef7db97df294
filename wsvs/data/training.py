"""Data loaders of a training."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from torch.utils.data import DataLoader, Dataset

from wsvs.config.base import Natural, Positive
from wsvs.config.checked import checked
from wsvs.data.loading import make_loader
from wsvs.data.visits import Once, Present, Visits


class TrainingData(pl.LightningDataModule):
    """A training set in the order of `Visits`, and a validation set in its own order, divided between the ranks.

    If the trainer counts steps, an epoch is the whole training. If it counts epochs, an epoch is a pass over the
    images, rounded down to whole optimizer steps.

    Args:
        train: Training set, indexed by `Visit`s.
        val: Validation set, indexed by numbers.
        batch_size: Images per batch and rank.
        val_batch_size: The same for validation; by default `batch_size`.
        workers: Loader processes; 0 loads in the main process.
        seed: Seed of order and crops.
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
        self.reached = (0, 0)  # epoch, and number of its batches that are done

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
