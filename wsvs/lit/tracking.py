"""Checkpoints and bad items of a training."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import lightning.pytorch as pl
import torch
import torch.distributed
from lightning.pytorch.plugins.io import TorchCheckpointIO

from wsvs.core.files import atomic_path


class WholeCheckpoints(TorchCheckpointIO):
    """Writes checkpoints atomically, so that a run that is killed while writing one can be resumed.

    Lightning writes to the system's temporary folder, and copies if that is on another disk.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Raises `UserError` on a full or read-only disk."""
        buffer = BytesIO()
        torch.save(checkpoint, buffer)
        with atomic_path(path) as temporary:
            temporary.write_bytes(buffer.getbuffer())


class BadItems(pl.Callback):
    """Collects the bad items that loaders skipped, on all ranks and in earlier starts: {id: reason}."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def state_dict(self) -> dict[str, str]:
        return dict(self.found)

    def load_state_dict(self, state_dict: dict[str, str]) -> None:
        self.found.update(state_dict)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._gather(trainer)  # before the checkpoint, which has the state of rank 0 only

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._gather(trainer)

    def _gather(self, trainer: pl.Trainer) -> None:
        if trainer.world_size > 1:
            everywhere: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(everywhere, self.found)
            for found in everywhere:
                self.found.update(found)

    def _collect(self, batch: Any) -> None:
        if isinstance(batch, dict):
            self.found.update(batch.get("bad", ()))

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._collect(batch)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._collect(batch)
