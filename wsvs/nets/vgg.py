"""VGG (Simonyan & Zisserman 2015), the paper's backbone, and a small one for the synthetic data."""

from __future__ import annotations

from torch import nn

from wsvs.nets.backbone import Backbone, PoolingBackbone


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
    return PoolingBackbone(
        nn.Sequential(*layers),
        channels=channels,
        stride=2 ** len(pooled),
        last_block=start,
        pool_channels=tuple(widths[-1] for widths in pooled),
        pool_depths=tuple(len(widths) for widths in pooled),
    )


def vgg16() -> Backbone:
    """VGG-16 (Simonyan & Zisserman 2015) from conv1_1 to conv5_3: no pool5, no fully connected layers.

    512 channels, stride 16, 14,714,688 parameters; takes torchvision's `vgg16` weights.
    """
    return _vgg(((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)), batch_norm=False)


def vgg_small() -> Backbone:
    """A VGG with 0.2 M parameters and batch norm for the synthetic data: 3 pools, stride 8, 96 channels."""
    return _vgg(((16, 16), (32, 32), (64, 64), (96, 96)), batch_norm=True)
