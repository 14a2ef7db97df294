"""What a training leaves behind besides its metrics."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl


class BadItems(pl.Callback):
    """Collects the bad items that the loaders passed over: {id: reason}."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def _collect(self, batch: Any) -> None:
        if isinstance(batch, dict):
            self.found.update(batch.get("bad", ()))

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._collect(batch)

    def on_validation_batch_end(
        self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._collect(batch)
