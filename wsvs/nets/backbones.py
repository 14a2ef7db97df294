"""Convolutional trunks that also hand out what their max-pools saw.

A backbone maps (B, 3, H, W) to features (B, channels, ~H/stride, ~W/stride) and, on request, the arg-max positions
("switches") and the inputs of its max-pools, which are the decoder's only look at the image.
To add one: write a `Backbone` and name it in `BACKBONES`, from a module of your own too (docs/extending.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Pooled(NamedTuple):
    """One max-pool of a forward pass: its input (B, c, h, w) and where the maxima were (flat indices into h*w)."""

    before: Tensor
    switches: Tensor


class Features(NamedTuple):
    """Output of a backbone: the last feature map and its max-pools, shallow to deep (empty unless asked for)."""

    map: Tensor
    pools: list[Pooled]


class Backbone(nn.Module):
    """A sequence of layers with max-pools in it.

    Attributes:
        features: The layers, numbered as in torchvision so that its weights load by name.
        channels: Channels of the last feature map.
        stride: Input pixels per feature cell.
        pool_channels: Channels at each max-pool, shallow to deep.
        pool_depths: Number of decoder layers that mirror each max-pool's block, shallow to deep.
        last_block: Index of the first layer of the last block (what `trainable="last"` trains).
    """

    def __init__(
        self, features: nn.Sequential, *, channels: int, stride: int, pool_channels: tuple[int, ...],
        pool_depths: tuple[int, ...], last_block: int,
    ) -> None:
        super().__init__()
        self.features = features
        self.channels = channels
        self.stride = stride
        self.pool_channels = pool_channels
        self.pool_depths = pool_depths
        self.last_block = last_block

    def forward(self, x: Tensor, with_pools: bool = False) -> Features:
        pools = []
        for layer in self.features:
            if with_pools and isinstance(layer, nn.MaxPool2d):
                before = x
                x, switches = F.max_pool2d(
                    x, layer.kernel_size, layer.stride, layer.padding, ceil_mode=layer.ceil_mode, return_indices=True
                )
                pools.append(Pooled(before, switches))
            else:
                x = layer(x)
        return Features(x, pools)


def _vgg(blocks: tuple[tuple[int, ...], ...], batch_norm: bool) -> Backbone:
    """VGG layers without the last pool: conv 3x3 (+ BN) + ReLU, 2x2 max-pools between the blocks."""
    layers: list[nn.Module] = []
    channels = 3
    start = 0
    for number, widths in enumerate(blocks):
        if number:
            layers.append(nn.MaxPool2d(2, 2))
        start = len(layers)
        for width in widths:
            layers.append(nn.Conv2d(channels, width, 3, padding=1))
            if batch_norm:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.ReLU(inplace=True))
            channels = width
    pooled = blocks[:-1]
    return Backbone(
        nn.Sequential(*layers), channels=channels, stride=2 ** len(pooled), last_block=start,
        pool_channels=tuple(widths[-1] for widths in pooled), pool_depths=tuple(len(widths) for widths in pooled),
    )


def vgg16() -> Backbone:
    """VGG-16 (Simonyan & Zisserman 2015) from conv1_1 to conv5_3: no pool5, no fully connected layers.

    512 channels, stride 16, 14,714,688 parameters; takes torchvision's `vgg16` weights.
    """
    return _vgg(((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)), batch_norm=False)


def vgg_small() -> Backbone:
    """A VGG of 0.2 M parameters with batch norm for the toy world: 3 pools, stride 8, 96 channels."""
    return _vgg(((16, 16), (32, 32), (64, 64), (96, 96)), batch_norm=True)


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
    """SqueezeNet 1.1 (Iandola et al. 2016) without its classifier: 512 channels, stride 16.

    Its three max-pools are 3x3 with stride 2 and its first convolution halves the image once more; takes
    torchvision's `squeezenet1_1` weights. The CPU-sized backbone.
    """
    layers = nn.Sequential(
        nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, ceil_mode=True),
        _Fire(64, 16, 64), _Fire(128, 16, 64), nn.MaxPool2d(3, 2, ceil_mode=True),
        _Fire(128, 32, 128), _Fire(256, 32, 128), nn.MaxPool2d(3, 2, ceil_mode=True),
        _Fire(256, 48, 192), _Fire(384, 48, 192), _Fire(384, 64, 256), _Fire(512, 64, 256),
    )
    return Backbone(
        layers, channels=512, stride=16, pool_channels=(64, 128, 256), pool_depths=(1, 2, 2), last_block=9
    )


BACKBONES: dict[str, Callable[[], Backbone]] = {
    "vgg16": vgg16, "vgg_small": vgg_small, "squeezenet1_1": squeezenet1_1,
}


_OURS = frozenset(BACKBONES)


def build_backbone(name: str) -> Backbone:
    """Raises ValueError with the known names, or where a backbone of a plugin is not what it says of itself."""
    if name not in BACKBONES:
        raise ValueError(
            f"model.backbone must be one of {', '.join(BACKBONES)}, got {name!r}; one of your own needs "
            "plugins=[its module]"
        )
    backbone = BACKBONES[name]()
    if name not in _OURS:
        _check(backbone, name)
    return backbone


@torch.no_grad()
def _check(backbone: Backbone, name: str, side: int = 128) -> None:
    """Hold what a backbone says of itself against one forward pass."""
    if not isinstance(backbone, Backbone):
        raise TypeError(f"backbone {name!r} must make a wsvs.nets.backbones.Backbone, got {type(backbone).__name__}")
    training = backbone.training
    found = backbone.eval()(torch.zeros(1, 3, side, side), with_pools=True)
    backbone.train(training)
    channels, cells = found.map.shape[1:3]
    pools = tuple(pool.before.shape[1] for pool in found.pools)
    if channels != backbone.channels:
        raise ValueError(f"backbone {name!r} says channels={backbone.channels}, but makes {channels}")
    if abs(cells - side / backbone.stride) > 1.5:
        raise ValueError(f"backbone {name!r} says stride={backbone.stride}, but makes {cells} cells of {side} px")
    if pools != backbone.pool_channels or len(pools) != len(backbone.pool_depths):
        raise ValueError(
            f"backbone {name!r} says pool_channels={backbone.pool_channels} and {len(backbone.pool_depths)} "
            f"pool_depths, but its max-pools have {pools}"
        )
