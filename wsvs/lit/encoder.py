"""Training of the encoder under the classification objective (Eq. 1)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MeanMetric, Metric
from torchmetrics.functional.classification import binary_average_precision
from torchmetrics.utilities import dim_zero_cat

from wsvs.config.base import AtLeast0, Natural
from wsvs.config.checked import checked
from wsvs.config.stages import EncoderSettings, Schedule
from wsvs.data.loading import Batch, pixels
from wsvs.lit.finite import WatchedModule
from wsvs.lit.optim import configure, no_loss
from wsvs.metrics.presence import presence_thresholds
from wsvs.nets.attention import resize
from wsvs.nets.model import NetConfig, SegmentationNet

_DEFAULT = EncoderSettings()


class EncoderModule(WatchedModule):
    """Independent sigmoid cross-entropy over the classes; validation by average precision on tags.

    Args:
        net: `NetConfig` as a dict of primitives.
        lr: Learning rate of the new layers.
        lr_backbone: Learning rate of the pre-trained layers that are not frozen.
        schedule, warmup: Learning-rate schedule; see `wsvs.lit.optim.configure`.
        weights, sha256: Pre-trained backbone (path or URL) and its checksum. Not needed to load a checkpoint.
    """

    @checked
    def __init__(
        self,
        net: dict[str, Any],
        *,
        lr: AtLeast0 = _DEFAULT.lr,
        lr_backbone: AtLeast0 = _DEFAULT.lr_backbone,
        schedule: Schedule = _DEFAULT.schedule,
        warmup: Natural = _DEFAULT.warmup,
        weights: str | None = None,
        sha256: str | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["weights", "sha256"])
        config = NetConfig.read(net)
        self.net = SegmentationNet(config, config.build_encoder(weights, sha256), None)
        self.tag_scores = TagScores(len(config.classes))
        self.loss = MeanMetric(nan_strategy="ignore")  # `StopOnDivergence` reports NaN
        self.thresholds: list[float] = []  # of class presence, from the last validation
        self.train()

    def train(self, mode: bool = True) -> EncoderModule:
        """Keep frozen layers in inference mode, so that their running statistics do not change."""
        super().train(mode)
        for layer in self.net.encoder.backbone.modules():
            own = list(layer.parameters())
            if own and not any(p.requires_grad for p in own):
                layer.eval()
        return self

    def configure_optimizers(self) -> Any:
        encoder = self.net.encoder
        new = [*encoder.conv6.parameters(), *encoder.fc.parameters()]
        groups = [(new, self.hparams["lr"]), (encoder.backbone.parameters(), self.hparams["lr_backbone"])]
        steps = self.trainer.estimated_stepping_batches
        return configure(groups, self.hparams["schedule"], steps, self.hparams["warmup"])

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor | None:
        if "image" not in batch:  # every image of the batch was bad
            return no_loss(self)
        logits = self.net.encoder(pixels(batch, self.net.encoder.mean.dtype))
        loss = F.binary_cross_entropy_with_logits(logits, batch["y"])
        self.log("train/loss", loss, prog_bar=True, batch_size=len(logits))
        return self.watched(loss)

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        if "image" not in batch:
            none = torch.zeros(0, len(self.net.classes), device=self.device)
            self.tag_scores.update(none, none)  # a rank without a good image must take part in the reduction
            return None
        images = pixels(batch, self.net.encoder.mean.dtype)
        images = resize(images, self.net.network_size(*images.shape[-2:]))
        logits = self.net.encoder(images)
        self.loss.update(F.binary_cross_entropy_with_logits(logits, batch["y"]), len(logits))
        self.tag_scores.update(logits, batch["y"])
        return logits

    def on_validation_epoch_end(self) -> None:
        ap, thresholds = self.tag_scores.compute()
        self.tag_scores.reset()
        self.thresholds = thresholds.tolist() if not thresholds.isnan().any() else []
        self.log("val/loss", self.loss.compute())
        self.loss.reset()
        # the set of keys stays the same on every rank
        for name, value in zip(self.net.classes, ap, strict=True):
            self.log(f"val/ap/{name}", value.float(), rank_zero_only=False)
        self.log("val/map", ap.nanmean().float(), prog_bar=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the class thresholds with the network."""
        super().on_save_checkpoint(checkpoint)
        parameters = checkpoint["hyper_parameters"]
        net = {**parameters["net"], "class_thresholds": self.thresholds}
        checkpoint["hyper_parameters"] = {**parameters, "net": net}


class TagScores(Metric):
    """Average precision and presence threshold of each class, over the validation items of all ranks.

    (2, C) float64. The precision is NaN for a class without positives; everything is NaN without items. torchmetrics'
    MultilabelAveragePrecision refuses a single class, returns 0 for a class without positives, and treats a batch of
    logits that are all in [0, 1] as probabilities.
    """

    logits: list[Tensor]
    targets: list[Tensor]

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.add_state("logits", [], dist_reduce_fx="cat")
        self.add_state("targets", [], dist_reduce_fx="cat")

    def update(self, logits: Tensor, y: Tensor) -> None:
        """(B, C) logits and labels in {0, 1}."""
        self.logits.append(logits.detach().double())
        self.targets.append(y.int())

    def compute(self) -> Tensor:
        if not len(self.logits) or not len(dim_zero_cat(self.logits)):  # every image was bad
            return torch.full((2, self.classes), float("nan"))
        logits, targets = dim_zero_cat(self.logits), dim_zero_cat(self.targets)
        scores = logits.sigmoid()
        ap = [
            binary_average_precision(score, target) if target.any() else score.new_tensor(float("nan"))
            for score, target in zip(scores.T, targets.T, strict=True)
        ]
        thresholds = presence_thresholds(scores.cpu().numpy(), targets.cpu().numpy())
        return torch.stack([torch.stack(ap).double(), torch.from_numpy(thresholds).to(scores.device)])
