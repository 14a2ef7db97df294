"""ResNet-50 v2 (He et al. 2016, "Identity mappings in deep residual networks"), a strong backbone."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from wsvs.nets.backbone import Backbone, Features, FixedBatchNorm, Pooled

# Features after the last ReLU have a standard deviation of about 0.035, too small for a head that is initialised for
# values around 1.
_OUTPUT_SCALE = 30.0


class _Block(nn.Module):
    """Bottleneck with norm and ReLU before each convolution; `expand` times `width` channels out."""

    def __init__(self, inputs: int, width: int, stride: int, expand: int = 4) -> None:
        super().__init__()
        outputs = expand * width
        self.bn1 = FixedBatchNorm(inputs)
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn2 = FixedBatchNorm(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn3 = FixedBatchNorm(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        first = stride != 1 or inputs != outputs
        self.downsample = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if first else None

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.bn1(x))
        kept = x if self.downsample is None else self.downsample(active)
        x = self.conv1(active)
        x = self.conv2(F.relu(self.bn2(x)))
        return kept + self.conv3(F.relu(self.bn3(x)))


class ResNet50v2(Backbone):
    """ResNet-50 v2 up to conv4_x and the norm behind it: 1024 channels, stride 16, 8,543,296 parameters.

    Only its first step to half the size is a max-pool, so there are no switches: take model.guidance=features.
    """

    def __init__(self) -> None:
        super().__init__(
            channels=1024, stride=16, pool_channels=(64, 256, 512), pool_depths=(1, 2, 2), has_switches=False
        )
        self.bn_data = FixedBatchNorm(3)
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = FixedBatchNorm(64)
        self.stage1 = _stage(64, 64, blocks=3, stride=1)
        self.stage2 = _stage(256, 128, blocks=4, stride=2)
        self.stage3 = _stage(512, 256, blocks=6, stride=2)
        self.bn_out = FixedBatchNorm(1024)

    @property
    def last(self) -> Sequence[nn.Module]:
        return [self.stage3, self.bn_out]

    def forward(self, x: Tensor, with_pools: bool = False) -> Features:
        half = F.relu(self.bn1(self.conv1(self.bn_data(x))))
        quarter = self.stage1(F.max_pool2d(half, 3, 2, 1))
        eighth = self.stage2(quarter)
        out = F.relu(self.bn_out(self.stage3(eighth))) * _OUTPUT_SCALE
        pools = [Pooled(x, None) for x in (half, quarter, eighth)] if with_pools else []
        return Features(out, pools)


def _stage(inputs: int, width: int, *, blocks: int, stride: int) -> nn.Sequential:
    first = _Block(inputs, width, stride)
    return nn.Sequential(first, *(_Block(4 * width, width, 1) for _ in range(blocks - 1)))


def resnet50v2() -> Backbone:
    return ResNet50v2()
