"""Class relevance of every frame of a clip: y . f_enc(v) (section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import BasePredictionWriter

from wsvs.core.errors import BadItem
from wsvs.core.files import write_text
from wsvs.core.ledger import Ledger
from wsvs.data.loading import scaled
from wsvs.data.prefetch import batched, prefetch
from wsvs.nets.attention import resize
from wsvs.nets.model import SegmentationNet, require_finite
from wsvs.video.reader import read_frames


class ScorerModule(pl.LightningModule):
    """Scores whole clips, reading their frames ahead in a thread; memory does not grow with a clip's length.

    A batch is one clip: {"id", "file", "class", "start", "stop"}. The result has "scores" (T,) in [0, 1], or "bad".

    Args:
        net: Networks; only the encoder is used.
        batch_size: Frames a forward pass.
    """

    def __init__(self, net: SegmentationNet, *, batch_size: int = 16) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"relevance.batch_size must be at least 1, got {batch_size}")
        self.net = net
        self.batch_size = batch_size

    def predict_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        number = self.net.classes.index(batch["class"])
        scores: list[np.ndarray] = []
        try:
            frames = read_frames(batch["file"], batch["start"], batch["stop"], longest_edge=self.net.config.image_size)
            for group in batched(prefetch(frames, 2 * self.batch_size), self.batch_size):
                scores.append(self._score(group)[:, number])
        except BadItem as error:
            if not scores:
                return {"item": batch, "bad": error.message}
            # the part before the break is as good as any other clip
            return {"item": batch, "scores": np.concatenate(scores), "broken": error.message}
        if not scores:
            return {"item": batch, "bad": "the clip has no frames"}
        return {"item": batch, "scores": np.concatenate(scores)}

    def _score(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        x = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).to(self.device)
        x = resize(scaled(x), self.net.network_size(*x.shape[-2:]))
        logits = self.net.encoder(x)
        require_finite(logits)
        return logits.sigmoid().float().cpu().numpy()


class ScoreWriter(BasePredictionWriter):
    """scores/<clip>.csv for each clip, and its line in the ledger."""

    def __init__(self, run: Path) -> None:
        super().__init__(write_interval="batch")
        self.run = run
        self.ledger = Ledger(run)

    def write_on_batch_end(self, trainer, module, prediction, batch_indices, batch, batch_idx, dataloader_idx) -> None:
        clip = prediction["item"]["id"]
        if "bad" in prediction:
            self.ledger.fail(clip, prediction["bad"])
            return
        numbered = enumerate(prediction["scores"], prediction["item"]["start"])
        lines = ["frame,score", *(f"{t},{score:.6f}" for t, score in numbered)]
        write_text(self.run / "scores" / f"{clip}.csv", "\n".join(lines) + "\n")
        self.ledger.write(clip, {"frames": len(prediction["scores"]), "broken": prediction.get("broken")})
