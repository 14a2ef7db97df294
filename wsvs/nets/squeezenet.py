"""SqueezeNet 1.1 (Iandola et al. 2016), a small backbone for CPUs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsvs.nets.backbone import Backbone, PoolingBackbone


class _Fire(nn.Module):
    def __init__(self, inputs: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return F.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], 1))


def squeezenet1_1() -> Backbone:
    """SqueezeNet 1.1 without its classifier: 512 channels, stride 16.

    Its three max-pools are 3x3 with stride 2 and its first convolution halves the image once more; takes
    torchvision's `squeezenet1_1` weights. The CPU-sized backbone.
    """
    layers = nn.Sequential(
        nn.Conv2d(3, 64, 3, stride=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        _Fire(64, 16, 64),
        _Fire(128, 16, 64),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        _Fire(128, 32, 128),
        _Fire(256, 32, 128),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        _Fire(256, 48, 192),
        _Fire(384, 48, 192),
        _Fire(384, 64, 256),
        _Fire(512, 64, 256),
    )
    return PoolingBackbone(
        layers, channels=512, stride=16, pool_channels=(64, 128, 256), pool_depths=(1, 2, 2), last_block=9
    )
