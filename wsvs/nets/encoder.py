"""The encoder f_enc: class prediction and class activation (section 3.1, Eqs. 1 and 2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsvs.config.base import BelowOne, Natural
from wsvs.config.checked import checked
from wsvs.config.groups import NetSettings, Trainable
from wsvs.nets.backbone import IMAGENET_MEAN, IMAGENET_STD, Features
from wsvs.nets.backbones import build_backbone

_DEFAULT = NetSettings()


class Encoder(nn.Module):
    """Backbone, a new 3x3 convolution + ReLU (F), global average pooling, dropout, fully connected layer (W).

    Without the new convolution F is the backbone's map itself: a linear classifier on pre-trained features.

    Input: RGB in [0, 1], (B, 3, H, W); the ImageNet normalisation happens inside. Output: logits (B, C), one
    independent sigmoid for each class, because an image can show several classes.

    Args:
        backbone: Name of a backbone (`wsvs.nets.backbones.BACKBONES`).
        classes: Class names, without background.
        hidden: Channels d of the new convolution; 0 for none.
        dropout: Dropout on the pooled vector, in [0, 1).
        trainable: Backbone layers that are trained: none, those of its last block, or all.
        deepest: See `NetConfig`.
    """

    mean: Tensor
    std: Tensor

    @checked
    def __init__(
        self,
        *,
        backbone: str,
        classes: Sequence[str],
        hidden: Natural = _DEFAULT.hidden,
        dropout: BelowOne = _DEFAULT.dropout,
        trainable: Trainable = _DEFAULT.trainable,
        deepest: bool = True,
    ) -> None:
        super().__init__()
        self.classes = tuple(classes)
        self.trainable = trainable
        self.backbone = build_backbone(backbone, deepest)
        self.conv6 = nn.Conv2d(self.backbone.channels, hidden, 3, padding=1) if hidden else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(hidden or self.backbone.channels, len(self.classes))
        if isinstance(self.conv6, nn.Conv2d):
            nn.init.kaiming_normal_(self.conv6.weight, nonlinearity="relu")
        nn.init.normal_(self.fc.weight, std=0.01)
        for layer in (self.conv6, self.fc):
            if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
                nn.init.zeros_(layer.bias)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self.backbone.train_only(trainable)

    @property
    def stride(self) -> int:
        return self.backbone.stride

    def backbone_features(self, images: Tensor, with_pools: bool = False) -> Features:
        """Backbone features of RGB images in [0, 1]."""
        x = (images - self.mean) / self.std
        return self.backbone(x.contiguous(memory_format=torch.channels_last), with_pools)

    def features(self, images: Tensor) -> Tensor:
        """F(x): output of the last convolutional layer, (B, d, h, w)."""
        return self.features_from(self.backbone_features(images))

    def features_from(self, features: Features) -> Tensor:
        """F(x) from the backbone's features."""
        return F.relu(self.conv6(features.map)) if isinstance(self.conv6, nn.Conv2d) else features.map

    def classify(self, features: Tensor) -> Tensor:
        """Logits (B, C) from F(x): average pooling, dropout, W and its bias."""
        return self.fc(self.dropout(features.mean((2, 3))))

    def activation(self, features: Tensor) -> Tensor:
        """alpha^c = F(x) . W . y^c for every class (Eq. 2), in logit units, (B, C, h, w); no bias.

        Its mean over positions plus the bias is the logit.
        """
        return F.conv2d(features, self.fc.weight[:, :, None, None])

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.features(images))
