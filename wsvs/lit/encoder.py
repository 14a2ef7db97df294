"""Training of the encoder under the classification objective (Eq. 1)."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from torchmetrics.classification import BinaryAveragePrecision, MultilabelAveragePrecision

from wsvs.data.loading import scaled
from wsvs.lit.optim import check_schedule, configure
from wsvs.nets.attention import resize
from wsvs.nets.model import NetConfig, SegmentationNet


class EncoderModule(pl.LightningModule):
    """Independent sigmoid cross-entropy over the classes; validation by average precision on tags.

    Args:
        net: `NetConfig` as a dict of primitives.
        lr: Learning rate of the new layers.
        lr_backbone: Learning rate of the pre-trained layers that are not frozen.
        schedule: 'constant' or 'cosine'.
        weights, sha256: Pre-trained backbone (path or URL) and its checksum. Not needed to load a checkpoint.
    """

    def __init__(
        self, net: dict[str, Any], *, lr: float = 1e-3, lr_backbone: float = 1e-4, schedule: str = "constant",
        weights: str | None = None, sha256: str | None = None,
    ) -> None:
        super().__init__()
        if lr < 0 or lr_backbone < 0:
            raise ValueError(f"learning rates must not be negative, got {lr} and {lr_backbone}")
        check_schedule(schedule)
        self.save_hyperparameters(ignore=["weights", "sha256"])
        config = NetConfig(**net)
        self.net = SegmentationNet(config, config.build_encoder(weights, sha256), None)
        several = len(config.classes) > 1  # torchmetrics takes one class for a question of yes or no only
        self.average_precision = (
            MultilabelAveragePrecision(len(config.classes), average="none") if several else BinaryAveragePrecision()
        )

    def configure_optimizers(self) -> Any:
        encoder = self.net.encoder
        new = [*encoder.conv6.parameters(), *encoder.fc.parameters()]
        groups = [(new, self.hparams["lr"]), (encoder.backbone.parameters(), self.hparams["lr_backbone"])]
        return configure(groups, self.hparams["schedule"], self.trainer.estimated_stepping_batches)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor | None:
        if "image" not in batch:  # every image of the batch was bad
            return None
        logits = self.net.encoder(scaled(batch["image"]))
        loss = F.binary_cross_entropy_with_logits(logits, batch["y"])
        self.log("train/loss", loss, prog_bar=True, batch_size=len(logits))
        return loss

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        if "image" not in batch:
            return
        images = scaled(batch["image"])
        images = resize(images, self.net.network_size(*images.shape[-2:]))
        logits = self.net.encoder(images)
        self.log("val/loss", F.binary_cross_entropy_with_logits(logits, batch["y"]), batch_size=1, sync_dist=True)
        self.average_precision.update(logits, batch["y"].int())

    def on_validation_epoch_end(self) -> None:
        ap = self.average_precision.compute().reshape(-1)
        self.average_precision.reset()
        # a class without a positive has no AP and does not count; the set of keys stays the same on every rank
        for name, value in zip(self.net.classes, ap, strict=True):
            self.log(f"val/ap/{name}", value, rank_zero_only=False)
        self.log("val/map", ap.nanmean().nan_to_num(0.0), prog_bar=True)
