"""Callbacks for training steps, a seed per step, the last validation, throughput; and for the wait of predict loops."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch


class StepSeed(pl.Callback):
    """Seeds random layers (dropout) from the run's seed, the batch and the rank.

    The dropout of a batch then does not depend on earlier random draws, of a validation or of an interrupted start.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        parts = self.seed, trainer.current_epoch, batch_idx, trainer.global_rank
        torch.manual_seed(int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0]))


class ValidateLast(pl.Callback):
    """Ends a training with a validation: otherwise no checkpoint would include the last steps."""

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if 0 < trainer.max_steps <= trainer.global_step:
            trainer.should_stop = True  # Lightning validates before it stops, but not when it reaches max_steps


class Newest(pl.Callback):
    """Stores the metric of the newest validation in checkpoints, for runs without checkpoint selection.

    Args:
        figure: Name of the metric.

    Attributes:
        score: Its value; None before the first validation.
    """

    def __init__(self, figure: str) -> None:
        self.figure = figure
        self.score: float | None = None

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.figure in trainer.callback_metrics and not trainer.sanity_checking:
            self.score = float(trainer.callback_metrics[self.figure])

    def state_dict(self) -> dict[str, Any]:
        return {"score": self.score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.score = state_dict["score"]


class Throughput(pl.Callback):
    """Logs the images per second of all ranks, and the fraction of time that a rank waits for data.

    Both are over the steps since the last log entry. Validations and their checkpoints do not count.
    """

    def __init__(self) -> None:
        self.ranks = 1  # their images are not counted here
        self.images = self._images = 0
        self.seconds = self.waited = self._seconds = self._waited = 0.0
        self._mark: float | None = None  # time is counted up to here; None: the clock starts at the next batch
        self._logged = 0

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._mark, self._logged, self.ranks = None, trainer.global_step, trainer.world_size

    def on_validation_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._pause()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._pause()

    def _pause(self) -> None:
        if self._mark is not None:
            self._seconds += perf_counter() - self._mark
            self._mark = None

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        loader: Any = trainer.train_dataloader  # a `wsvs.data.loading.TimedLoader`
        self._waited += loader.waited
        if self._mark is None:
            self._mark = loader.asked

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._images += len(batch.get("image", ()))
        step, every = trainer.global_step, trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every and step > self._logged and step % every == 0:
            self._logged = step
            speed, share = self._take()
            module.log("train/images_per_second", speed, sync_dist=True, reduce_fx="sum")
            module.log("train/data_wait", share, sync_dist=True)

    def _take(self) -> tuple[float, float]:
        """Images a second and share of waiting since the last time, which are added to the whole."""
        now = perf_counter()
        seconds = self._seconds + (now - self._mark if self._mark is not None else 0.0)
        rates = self._images / max(seconds, 1e-9), self._waited / max(seconds, 1e-9)
        self.images += self._images
        self.seconds += seconds
        self.waited += self._waited
        self._images, self._seconds, self._waited = 0, 0.0, 0.0
        if self._mark is not None:
            self._mark = now
        return rates

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """The figures of the whole training are those of all ranks together."""
        self._pause()
        self._take()
        totals = torch.tensor([self.images, self.seconds, self.waited], device=trainer.strategy.root_device)
        self.images, self.seconds, self.waited = trainer.strategy.reduce(totals, reduce_op="sum").tolist()
        self.seconds /= trainer.world_size
        self.waited /= trainer.world_size
        self.ranks = 1

    def state_dict(self) -> dict[str, Any]:
        """Up to the validation that the checkpoint is of; those of the first rank stand for all."""
        return {
            "images": self.images + self._images,
            "seconds": self.seconds + self._seconds,
            "waited": self.waited + self._waited,
            "ranks": self.ranks,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        vars(self).update(state_dict)

    def results(self) -> dict[str, float]:
        """The logged figures over the whole training, since its first start."""
        seconds = max(self.seconds, 1e-9)
        images = self.images * self.ranks
        return {"train/images_per_second": images / seconds, "train/data_wait": self.waited / seconds}


class DataWait(pl.Callback):
    """Measures how long a predict loop waits for its loader. It comes last, since writers are no waiting.

    Attributes:
        seconds: On this rank.
    """

    def __init__(self) -> None:
        self.seconds = self._mark = 0.0

    def on_predict_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._mark = perf_counter()

    def on_predict_batch_start(self, *_: Any, **__: Any) -> None:
        self.seconds += perf_counter() - self._mark

    def on_predict_batch_end(self, *_: Any, **__: Any) -> None:
        self._mark = perf_counter()
