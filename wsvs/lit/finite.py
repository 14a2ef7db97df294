"""Stops a training at the first non-finite number, before it is in a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, isnan
from typing import Any, NoReturn

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from wsvs.core.errors import UserError
from wsvs.core.memory import keep_freed_memory
from wsvs.nets.model import not_finite

SAFE = 1e-3  # a learning rate with which Adam rarely diverges


class WatchedModule(pl.LightningModule):
    """A module whose losses are checked by `StopOnDivergence`.

    Attributes:
        losses: Losses of the batches since the last optimizer step.
        person: Manual work beyond tagging, which checkpoints also record.
    """

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[Tensor] = []
        self.person: Sequence[str] = ()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.person:
            checkpoint["person"] = list(self.person)

    def on_fit_start(self) -> None:
        keep_freed_memory()

    def watched(self, loss: Tensor) -> Tensor:
        """The loss, or NaN if it is not finite, so that all gradients become NaN, after the reduction on every rank."""
        self.losses.append(loss.detach())
        return loss * torch.where(loss.detach().isfinite(), 1.0, float("nan"))


class StopOnDivergence(pl.Callback):
    """Raises `UserError` on all ranks together if a training has diverged.

    Before an optimizer step: the loss of a batch or the norm of the gradient is not finite. One norm over all gradients
    shows both (`WatchedModule`), so that a step costs one transfer from the device. Overflows from float16 loss scaling
    are ignored: the scaler skips the step and lowers the scale; only at a scale of 1 or less the gradient itself is not
    finite.

    At a validation: the network's output is not finite, or the metric that selects the checkpoint is NaN. Before a
    checkpoint is written: weights are not finite, including averaged ones.

    Args:
        rates: Learning rates by their settings, such as {"encoder.lr": 0.001}.
    """

    def __init__(self, rates: Mapping[str, float]) -> None:
        self.rates = dict(rates)
        self._bad: Tensor | bool = False  # the output of this validation

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        assert isinstance(pl_module, WatchedModule)
        losses, pl_module.losses = pl_module.losses, []
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = float(get_total_norm(gradients)) if gradients else 0.0
        if isfinite(norm):
            return
        # From here on all ranks take the same branch, because their gradients are equal.
        bad = next((float(loss) for loss in losses if not loss.isfinite()), None)
        step = trainer.global_step + 1
        if trainer.strategy.reduce_boolean_decision(bad is not None, all=False):
            self._stop(trainer, f"the loss of step {step} is {'nan or inf on another rank' if bad is None else bad}")
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        if scaler is None or scaler.get_scale() <= 1:
            self._stop(trainer, f"the norm of the gradient of step {step} is {norm}")

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._bad = False

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if outputs is not None:
            self._bad = ~outputs.isfinite().all() | self._bad

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.strategy.reduce_boolean_decision(bool(self._bad), all=False):
            self._stop(trainer, f"the network's output after step {trainer.global_step} is not finite (nan or inf)")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        for keeper in trainer.checkpoint_callbacks:
            name = getattr(keeper, "monitor", None)
            if name and isnan(trainer.callback_metrics.get(name, 0)):
                raise UserError(
                    f"{name} is nan: it cannot be computed on the held-out items",
                    where=f"monitor {name}",
                    remedy="hold out items that show the classes, or keep the newest checkpoint: callbacks=newest",
                )

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        name = not_finite(checkpoint)
        if trainer.strategy.reduce_boolean_decision(name is not None, all=False):
            found = name or "of another rank"
            self._stop(trainer, f"the weights after step {trainer.global_step} are not finite (nan or inf): {found}")

    def _stop(self, trainer: pl.Trainer, what: str) -> NoReturn:
        top = max(self.rates.values())
        lower = " ".join(f"{key}={min(value / 10, SAFE):g}" for key, value in self.rates.items() if value == top > 0)
        remedy = f"lower the learning rate, for example {lower}"
        if not trainer.global_step or not lower:  # before the first update
            remedy = "start from other weights (model.weights, or the runs under inputs)"
        if getattr(trainer.precision_plugin, "scaler", None) is not None:
            remedy += ", or use trainer.precision=bf16-mixed: the maximum of float16 is 65504"
        raise UserError(
            f"the training diverged: {what}",
            where=", ".join(f"{key}={value:g}" for key, value in self.rates.items()),
            remedy=remedy,
        )
