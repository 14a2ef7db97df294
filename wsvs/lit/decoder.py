"""Training of the decoder on masks from videos (Eq. 6), or on pseudo-labels of images (section 5.2.1)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.classification import BinaryConfusionMatrix

from wsvs.config.base import AtLeast0, Natural
from wsvs.config.checked import checked
from wsvs.config.stages import DecoderSettings, Schedule
from wsvs.core.classes import IGNORE
from wsvs.data.loading import Batch, pixels
from wsvs.lit.finite import WatchedModule
from wsvs.lit.optim import configure, no_loss
from wsvs.nets.attention import attention
from wsvs.nets.decoder import Decoder, foreground
from wsvs.nets.model import NetConfig, SegmentationNet, load_net, read_checkpoint

_DEFAULT = DecoderSettings()


class DecoderModule(WatchedModule):
    """Two-class cross-entropy between f_dec(alpha) and the mask; the encoder is frozen.

    The attention is computed on the crop, for the item's class, as at prediction, so that attention and image have the
    same scale.

    Args:
        net: `NetConfig` as a dict of primitives.
        lr: Learning rate.
        schedule, warmup: Learning-rate schedule; see `wsvs.lit.optim.configure`.
        start: Checkpoint with the encoder, and optionally a decoder to fine-tune. Not needed to load a checkpoint of
            this module, which contains both.
    """

    @checked
    def __init__(
        self,
        net: dict[str, Any],
        *,
        lr: AtLeast0 = _DEFAULT.lr,
        schedule: Schedule = _DEFAULT.schedule,
        warmup: Natural = _DEFAULT.warmup,
        start: str | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["start"])
        config = NetConfig.read(net)
        if start is not None:
            trained = load_net(start)
            encoder, decoder = trained.encoder, trained.decoder
        else:
            encoder, decoder = config.build_encoder(), None
        self.net = SegmentationNet(config, encoder, decoder or config.build_decoder(encoder))
        self.net.encoder.requires_grad_(False)
        self.confusion = BinaryConfusionMatrix(ignore_index=IGNORE, validate_args=False)
        self.train()  # the trainer does not change modes, and loaded networks are in inference mode

    @property
    def decoder(self) -> Decoder:
        assert self.net.decoder is not None
        return self.net.decoder

    def train(self, mode: bool = True) -> DecoderModule:
        super().train(mode)
        self.net.encoder.eval()  # frozen: no dropout, running statistics stay
        return self

    def configure_optimizers(self) -> Any:
        steps = self.trainer.estimated_stepping_batches
        groups = [(self.decoder.parameters(), self.hparams["lr"])]
        return configure(groups, self.hparams["schedule"], steps, self.hparams["warmup"])

    def score(self, batch: Batch) -> Tensor:
        """f_dec(alpha) of a batch, (B, 2, S, S)."""
        images = pixels(batch, self.net.encoder.mean.dtype)
        encoder, config = self.net.encoder, self.net.config
        with torch.no_grad():
            features = encoder.backbone_features(images, with_pools=True)
            alpha = attention(encoder, images, batch["class"], config.scales, features=features)
        return self.decoder(alpha, features, (images.shape[-2], images.shape[-1]))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        if "image" not in batch or (batch["target"] == IGNORE).all():
            return no_loss(self)
        score = self.score(batch)
        loss = cross_entropy(score, batch["target"], batch.get("weight"))
        self.log("train/loss", loss, prog_bar=True, batch_size=len(score))
        return self.watched(loss)

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        if "image" not in batch:
            return None
        score = self.score(batch)
        self.confusion.update((foreground(score) > 0.5).long(), batch["target"])
        return score

    def on_validation_epoch_end(self) -> None:
        """Agreement with the generated masks, not with true ones: it only selects the checkpoint.

        NaN if no pixel was scored.
        """
        total = self.confusion.compute()
        self.confusion.reset()
        both = total.diagonal().double()
        iou = both / (total.sum(0) + total.sum(1) - total.diagonal()).clamp(min=1)
        self.log("val/iou/background", iou[0].float(), rank_zero_only=False)
        self.log("val/iou/foreground", iou[1].float(), rank_zero_only=False)
        miou = iou.mean() if total.sum() else iou.new_tensor(float("nan"))
        self.log("val/miou", miou.float(), prog_bar=True)


def cross_entropy(score: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean over the known pixels, each with the weight of its item, (B); without weights all count alike."""
    if weight is None:
        return F.cross_entropy(score, target, ignore_index=IGNORE)
    known = (target != IGNORE) * weight.to(score)[:, None, None]
    return (F.cross_entropy(score, target, ignore_index=IGNORE, reduction="none") * known).sum() / known.sum()


def net_of(checkpoint: str) -> NetConfig:
    """The configuration of the networks in a checkpoint."""
    return NetConfig.read(read_checkpoint(checkpoint)["hyper_parameters"]["net"])
