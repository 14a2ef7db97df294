"""Video segmentation as a predict loop: attention on the device, then the graph cut (section 3.2)."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import BasePredictionWriter
from PIL import Image

from wsvs.core.files import write_bytes
from wsvs.core.ledger import Ledger
from wsvs.core.masks import write_mask
from wsvs.data.loading import scaled
from wsvs.nets.attention import attention, resize
from wsvs.nets.model import SegmentationNet
from wsvs.video.segmentation import Segmentation, segment
from wsvs.video.settings import SegmentSettings


@dataclass
class Segmented:
    """Result of a shot on its way to the writer."""

    item: dict[str, Any]
    segmentation: Segmentation | None = None
    frames: np.ndarray | None = None
    seconds: dict[str, float] | None = None
    bad: str | None = None


class SegmenterModule(pl.LightningModule):
    """Segments the shots that `wsvs.data.shots.ShotDataset` hands over.

    Args:
        net: Encoder for the attention; None where lambda_a is 0.
        settings: Of the energy.
        batch_size: Frames a forward pass.
    """

    def __init__(self, net: SegmentationNet | None, settings: SegmentSettings, *, batch_size: int = 8) -> None:
        super().__init__()
        if net is None and settings.lambda_a > 0:
            raise ValueError("segment.lambda_a > 0 needs an encoder")
        if batch_size < 1:
            raise ValueError(f"segment.attention_batch must be at least 1, got {batch_size}")
        self.net = net
        self.settings = settings
        self.batch_size = batch_size

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return batch  # numpy arrays: only the frames go to the device, a few at a time

    def predict_step(self, batch: dict[str, Any], batch_idx: int) -> Segmented:
        if "bad" in batch:
            return Segmented(batch["item"], bad=batch["bad"])
        begun = time.perf_counter()
        alpha = self.attention(batch["frames"], batch["item"]["class"]) if self.net is not None else None
        attended = time.perf_counter() - begun
        result = segment(batch["graph"], alpha, self.settings)
        seconds = {"decode": batch["decode"], "attention": attended, **result.seconds}
        return Segmented(batch["item"], result, batch["frames"], seconds)

    def attention(self, frames: np.ndarray, name: str) -> np.ndarray:
        """alpha of class `name`, (T, h, w) float32 in [0, 1], for (T, h, w, 3) uint8 frames."""
        assert self.net is not None
        number = self.net.classes.index(name)
        size = (frames.shape[1], frames.shape[2])
        maps = []
        for first in range(0, len(frames), self.batch_size):
            x = torch.from_numpy(frames[first : first + self.batch_size]).permute(0, 3, 1, 2).to(self.device)
            x = resize(scaled(x), self.net.network_size(*size))
            classes = torch.full((len(x),), number, device=self.device)
            alpha = attention(self.net.encoder, x, classes, self.net.config.scales, size)
            maps.append(alpha[:, 0].float().cpu().numpy())
        return np.concatenate(maps)


class MaskWriter(BasePredictionWriter):
    """masks/<shot>/%06d.png at the frame's own size, frames/<shot>/%06d.jpg at working size, then done/<shot>.json.

    PNG encoding runs in a thread beside the next shot's attention; at most two shots wait for it.

    Args:
        run: Run directory.
        labels: Label in the mask of each class.
        frames: Write the frames too.
    """

    def __init__(self, run: Path, labels: dict[str, int], *, frames: bool) -> None:
        super().__init__(write_interval="batch")
        self.run = run
        self.labels = labels
        self.frames = frames
        self.ledger = Ledger(run)
        self._pool = ThreadPoolExecutor(1)
        self._waiting: list[Future] = []

    def write_on_batch_end(self, trainer, module, prediction, batch_indices, batch, batch_idx, dataloader_idx) -> None:
        self._waiting.append(self._pool.submit(self.write, prediction))
        while len(self._waiting) > 2:
            self._waiting.pop(0).result()  # raises here what went wrong there

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        while self._waiting:
            self._waiting.pop(0).result()

    def write(self, result: Segmented) -> None:
        """All files of a shot, its ledger line last."""
        shot = result.item["shot"]
        if result.bad is not None:
            self.ledger.fail(shot, result.bad)
            return
        assert result.segmentation is not None and result.frames is not None and result.seconds is not None
        begun = time.perf_counter()
        label = np.uint8(self.labels[result.item["class"]])
        masks = result.segmentation.masks((result.item["height"], result.item["width"]))
        areas = []
        for folder in ("masks", "frames"):  # a start that was killed may have left stumps
            for stump in (self.run / folder / shot).glob(".tmp-*"):
                stump.unlink()
        for t, mask in enumerate(masks):
            number = result.item["start"] + t
            write_mask(self.run / "masks" / shot / f"{number:06d}.png", mask * label)
            areas.append(round(float(mask.mean()), 5))
            if self.frames:
                write_bytes(self.run / "frames" / shot / f"{number:06d}.jpg", _jpeg(result.frames[t]))
        seconds = {**result.seconds, "write": time.perf_counter() - begun}
        self.ledger.write(shot, {
            "frames": len(masks), "areas": areas,
            "energy": {key: float(value) for key, value in result.segmentation.energies.items()},
            "seconds": {key: round(value, 4) for key, value in seconds.items()},
        })


def _jpeg(frame: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()
