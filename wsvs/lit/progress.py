"""Progress of a fit or predict loop: `wsvs.core.progress` as a callback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl

from wsvs.core.progress import EVERY, Meter


class Progress(pl.Callback):
    """Counts the steps of a fit, or rank 0's units of work (such as frames) in a predict loop.

    Args:
        every: Seconds between lines without a terminal.
    """

    def __init__(self, every: float = EVERY) -> None:
        if every <= 0:
            raise ValueError(f"callbacks.progress.every must be positive, got {every}")
        self.every = every
        self._meter: Meter | None = None
        self._done = 0
        self._amounts: list[float] = []
        self._measure: Callable[[Any], tuple[float, float]] | None = None
        self._part = self._whole = 0.0

    def _start(self, trainer: pl.Trainer, total: float, unit: str, *, done: int = 0, share: str = "") -> None:
        self._done, self._part = done, 0.0
        if trainer.is_global_zero:
            whole = None if total == float("inf") else int(total)
            self._meter = Meter(whole, unit, done=done, share=share, every=self.every)

    def _tell(self, trainer: pl.Trainer, done: int) -> None:
        if self._meter is not None:
            metrics = trainer.progress_bar_metrics.items()
            self._meter.tell(done, "  ".join(f"{key} {float(value):.3f}" for key, value in metrics))

    def _stop(self) -> None:
        if self._meter is not None:
            self._meter.stop()
            self._meter = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start(trainer, trainer.estimated_stepping_batches, "steps", done=trainer.global_step)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        self._tell(trainer, trainer.global_step)  # with accumulated gradients a step has several batches

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop()

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        batches = sum(trainer.num_predict_batches)
        work = getattr(trainer, "datamodule", None)
        share = "on this rank" if work is not None and trainer.world_size > 1 else ""
        self._measure = getattr(work, "measure", None)
        if work is not None and self._measure is not None:
            self._whole = sum(work.amounts)
            self._start(trainer, float("inf"), work.unit, share=share)
            return
        self._amounts = [1] * int(batches) if work is None else list(work.amounts[: int(batches)])
        self._start(trainer, sum(self._amounts), "batches" if work is None else work.unit, share=share)

    def within(self, trainer: pl.Trainer, batch_idx: int, part: int) -> None:
        """Report the finished frames of a batch that is a video, which may have more frames than its header says."""
        more = part - int(self._amounts[batch_idx])
        if more > 0:
            self._amounts[batch_idx] += more
            if self._meter is not None and self._meter.total is not None:
                self._meter.total += more
        self._tell(trainer, self._done + part)

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self._measure is None:
            self._done += int(self._amounts[batch_idx])
        else:
            units, part = self._measure(batch)
            self._done, self._part = self._done + int(units), self._part + part
            if self._meter is not None and self._part:
                self._meter.expect(self._done * self._whole / self._part)
        self._tell(trainer, self._done)

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._stop()
