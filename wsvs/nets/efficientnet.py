"""EfficientNet-Lite2 (Tan & Le 2019, the variant for mobile devices), a strong backbone for CPUs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from wsvs.nets.backbone import IMAGENET_MEAN, IMAGENET_STD, Backbone, Features, FixedBatchNorm, Pooled, pixel

_EPS = 1e-3


class _Stage(NamedTuple):
    blocks: int
    kernel: int
    stride: int  # of the first block
    channels: int


_STEM, _HEAD = 32, 1280  # channels of the first and the last convolution
_STAGES = (
    _Stage(1, 3, 1, 16),
    _Stage(3, 3, 2, 24),
    _Stage(3, 5, 2, 48),
    _Stage(4, 3, 2, 88),
    _Stage(4, 5, 1, 120),
    _Stage(5, 5, 2, 208),
    _Stage(1, 3, 1, 352),
)
_DEEPEST = 5  # the stage that is dilated instead of strided
_EXPAND = 6


class _SameConv(nn.Conv2d):
    """A convolution of stride 2 with TensorFlow's "same" padding: minimal, with the odd pixel at the end."""

    def forward(self, input: Tensor) -> Tensor:
        height, width = (max(self.kernel_size[0] - 2 + side % 2, 0) for side in input.shape[-2:])
        pads = (width // 2, width - width // 2, height // 2, height - height // 2)
        return super().forward(F.pad(input, pads))


def _conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, dilation: int = 1, groups: int = 1) -> nn.Conv2d:
    if stride == 2:
        return _SameConv(inputs, outputs, kernel, 2, groups=groups, bias=False)
    padding = dilation * (kernel // 2)
    return nn.Conv2d(inputs, outputs, kernel, 1, padding, dilation, groups, bias=False)


class _Separable(nn.Module):
    """The first block: depthwise and pointwise convolution."""

    def __init__(self, inputs: int, stage: _Stage) -> None:
        super().__init__()
        self.conv_dw = _conv(inputs, inputs, stage.kernel, groups=inputs)
        self.bn1 = FixedBatchNorm(inputs, _EPS)
        self.conv_pw = _conv(inputs, stage.channels)
        self.bn2 = FixedBatchNorm(stage.channels, _EPS)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv_pw(F.relu6(self.bn1(self.conv_dw(x)))))


class _Inverted(nn.Module):
    """Inverted residual block: expansion, depthwise convolution, projection; with a skip connection if shapes match."""

    def __init__(self, inputs: int, stage: _Stage, stride: int, dilation: int) -> None:
        super().__init__()
        wide = _EXPAND * inputs
        self.conv_pw = _conv(inputs, wide)
        self.bn1 = FixedBatchNorm(wide, _EPS)
        self.conv_dw = _conv(wide, wide, stage.kernel, stride, dilation, groups=wide)
        self.bn2 = FixedBatchNorm(wide, _EPS)
        self.conv_pwl = _conv(wide, stage.channels)
        self.bn3 = FixedBatchNorm(stage.channels, _EPS)
        self.adds = inputs == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.bn1(self.conv_pw(x)))
        y = F.relu6(self.bn2(self.conv_dw(y)))
        y = self.bn3(self.conv_pwl(y))
        return x + y if self.adds else y


class EfficientNetLite2(Backbone):
    """EfficientNet-Lite2 to the last convolution before its classifier: 1280 channels, 4,868,176 parameters.

    The deepest stages are dilated instead of strided, so that their cells are of 16 px. Layers are named as in timm's
    `tf_efficientnet_lite2`, whose weights it takes. Its strided convolutions leave no switches: take
    model.guidance=features.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__(
            channels=_HEAD, stride=16, pool_channels=(16, 24, 48), pool_depths=(1, 2, 2), has_switches=False
        )
        self.conv_stem = _conv(3, _STEM, 3, 2)
        self.bn1 = FixedBatchNorm(_STEM, _EPS)
        first, *others = _STAGES
        self.blocks = nn.Sequential(nn.Sequential(_Separable(_STEM, first)))
        inputs, dilation = first.channels, 1
        for number, stage in enumerate(others, 1):
            strided = number != _DEEPEST
            blocks = [_Inverted(inputs, stage, stage.stride if strided else 1, dilation)]
            dilation *= 1 if strided else stage.stride
            blocks += [_Inverted(stage.channels, stage, 1, dilation) for _ in range(stage.blocks - 1)]
            self.blocks.append(nn.Sequential(*blocks))
            inputs = stage.channels
        self.conv_head = _conv(inputs, _HEAD)
        self.bn2 = FixedBatchNorm(_HEAD, _EPS)
        self.register_buffer("scale", 2 * pixel(IMAGENET_STD), persistent=False)  # it was trained on (RGB - 0.5) / 0.5
        self.register_buffer("shift", 2 * pixel(IMAGENET_MEAN) - 1, persistent=False)

    @property
    def last(self) -> Sequence[nn.Module]:
        return [*list(self.blocks)[_DEEPEST:], self.conv_head, self.bn2]

    def forward(self, x: Tensor, with_pools: bool = False) -> Features:
        x = F.relu6(self.bn1(self.conv_stem(x * self.scale + self.shift)))
        pools = []
        for number, blocks in enumerate(self.blocks):
            if with_pools and number and number != _DEEPEST and _STAGES[number].stride == 2:
                pools.append(Pooled(x, None))
            x = blocks(x)
        return Features(F.relu6(self.bn2(self.conv_head(x))), pools)


def efficientnet_lite2() -> Backbone:
    return EfficientNetLite2()
