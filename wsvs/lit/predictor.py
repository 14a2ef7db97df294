"""Semantic segmentation of still images as a predict loop (section 3.4)."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.callbacks import BasePredictionWriter

from wsvs.core.errors import BadItem
from wsvs.core.files import write_bytes
from wsvs.core.ledger import Ledger
from wsvs.core.masks import write_mask
from wsvs.data.images import read_image
from wsvs.data.loading import scaled
from wsvs.data.tagged import to_tensor
from wsvs.nets.model import Method, SegmentationNet, label_map
from wsvs.nets.otsu import otsu


class PredictorModule(pl.LightningModule):
    """One image at a time, at its own shape.

    A batch is {"id", "image" (3, H, W) uint8, "classes": class numbers or None to predict them}, or {"id", "bad"}.

    Args:
        net: Trained networks.
        method: What gives the probabilities.
        class_threshold: A class is predicted where its score reaches this; the best one always is.
        background: Pixels whose best probability does not exceed this are background; 'otsu' finds it per image.
        flip: Average with the mirrored image.
    """

    def __init__(
        self, net: SegmentationNet, *, method: Method = "decoder", class_threshold: float = 0.6,
        background: float | Literal["otsu"] = 0.5, flip: bool = False,
    ) -> None:
        super().__init__()
        if method not in ("decoder", "attention", "mean"):
            raise ValueError(f"method must be decoder, attention or mean, got {method!r}")
        if isinstance(class_threshold, str) or not 0 <= class_threshold <= 1:
            raise ValueError(f"class_threshold must be a number in [0, 1], got {class_threshold!r}")
        if background != "otsu" and (isinstance(background, str) or not 0 <= background <= 1):
            raise ValueError(f"background must be a number in [0, 1] or otsu, got {background!r}")
        self.net = net
        self.method: Method = method
        self.class_threshold = class_threshold
        self.background = background
        self.flip = flip

    def predict_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        if "bad" in batch:
            return batch
        image = scaled(batch["image"])
        classes, probabilities, _ = self.net.probabilities(
            image, batch["classes"], class_threshold=self.class_threshold, method=self.method, flip=self.flip
        )
        if self.background == "otsu":
            threshold = otsu(probabilities.amax(0)) if classes else 0.5
        else:
            threshold = float(self.background)
        size = (image.shape[-2], image.shape[-1])
        return {
            "id": batch["id"], "mask": label_map(probabilities, classes, size, threshold).numpy(),
            "labels": [number + 1 for number in classes], "probabilities": probabilities.half().cpu().numpy(),
        }


class PredictionWriter(BasePredictionWriter):
    """<folder>/<id>.png for each image; with `scores` also <folder>/scores/<id>.npz; failures go to the ledger."""

    def __init__(self, folder: Path, ledger: Ledger, *, scores: bool = False) -> None:
        super().__init__(write_interval="batch")
        self.folder = folder
        self.ledger = ledger
        self.scores = scores

    def write_on_batch_end(self, trainer, module, prediction, batch_indices, batch, batch_idx, dataloader_idx) -> None:
        name = prediction["id"]
        if "bad" in prediction:
            self.ledger.fail(name, prediction["bad"])
            return
        if self.scores:
            buffer = BytesIO()
            labels = np.array(prediction["labels"], np.uint8)
            np.savez_compressed(buffer, labels=labels, probabilities=prediction["probabilities"])
            write_bytes(self.folder / "scores" / f"{name}.npz", buffer.getvalue())
        write_mask(self.folder / f"{name}.png", prediction["mask"])


def load_image(item: dict[str, Any]) -> dict[str, Any]:
    """Read the file of an item {"id", "file", "classes"} (in a loader's worker)."""
    if "bad" in item:
        return item
    try:
        return {"id": item["id"], "image": to_tensor(read_image(item["file"])), "classes": item["classes"]}
    except BadItem as error:
        return {"id": item["id"], "bad": error.message}

