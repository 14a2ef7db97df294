"""Progress with an estimate of the time left: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

log = logging.getLogger("wsvs")


class Progress(pl.Callback):
    """Counts the steps of a fit, or the work of a predict loop, frames for example, that rank 0 has to do.

    Args:
        every: Seconds between lines where there is no terminal.
    """

    def __init__(self, every: float = 30.0) -> None:
        if every <= 0:
            raise ValueError(f"callbacks.progress.every must be positive, got {every}")
        self.every = every
        self._bar: Bar | None = None
        self._task: Any = None
        self._total = self._done = self._first = 0
        self._begun = self._said = 0.0
        self._unit = ""
        self._amounts: Sequence[float] = ()

    def _start(self, trainer: pl.Trainer, total: float, done: int = 0, unit: str = "") -> None:
        if not trainer.is_global_zero:
            return
        self._unit = f" {unit}" if unit else ""
        self._total = 0 if total == float("inf") else int(total)
        self._done = self._first = done
        self._begun = self._said = time.monotonic()
        if sys.stdout.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                       TextColumn("{task.fields[note]}"))
            self._bar = Bar(*columns)
            self._bar.start()
            self._task = self._bar.add_task(unit or "working", total=self._total or None, completed=done, note="")

    def _step(self, trainer: pl.Trainer, done: int) -> None:
        if not trainer.is_global_zero:
            return
        self._done = done
        note = "  ".join(f"{key} {float(value):.3f}" for key, value in trainer.progress_bar_metrics.items())
        if self._bar is not None:
            rate = (self._done - self._first) / max(time.monotonic() - self._begun, 1e-9)
            self._bar.update(self._task, completed=self._done, note=f"{rate:.2f}/s  {note}")
        elif time.monotonic() - self._said > self.every:
            self._said = time.monotonic()
            rate = (self._done - self._first) / (self._said - self._begun)
            left = f", {(self._total - self._done) / rate / 60:.1f} min left" if self._total and rate else ""
            log.info("%d of %s%s, %.2f/s%s  %s", self._done, self._total or "?", self._unit, rate, left, note)

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._start(trainer, trainer.estimated_stepping_batches, trainer.global_step)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        self._step(trainer, trainer.global_step)  # several batches a step where gradients are accumulated

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._stop()

    def on_predict_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        batches = int(sum(trainer.num_predict_batches))
        work = getattr(trainer, "datamodule", None)
        self._amounts = [1] * batches if work is None else work.amounts[:batches]
        unit = "" if work is None else f"{work.unit} on this rank" if trainer.world_size > 1 else work.unit
        self._start(trainer, sum(self._amounts), unit=unit)

    def on_predict_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._step(trainer, self._done + int(self._amounts[batch_idx]))

    def on_predict_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        self._stop()
