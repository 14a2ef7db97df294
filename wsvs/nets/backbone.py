"""Backbones: layers that also return the inputs of the decoder (sections 3.1 and 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsvs.config.groups import Trainable

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # RGB in [0, 1]: images enter a backbone less the mean, by the deviation
IMAGENET_STD = (0.229, 0.224, 0.225)


def pixel(values: Sequence[float]) -> Tensor:
    """One value per channel, broadcast over images."""
    return torch.tensor(values).view(1, -1, 1, 1)


class FixedBatchNorm(nn.BatchNorm2d):
    """Batch norm that keeps its ImageNet statistics, since those of small batches are worse. Its scale is trained."""

    def forward(self, input: Tensor) -> Tensor:
        return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)


class Pooled(NamedTuple):
    """One step to half the size: its input (B, c, h, w), and where a max-pool found the maxima.

    `switches` are flat indices into h*w, (B, c, h', w'); None where the size is halved by a strided convolution.
    `apart`: the windows of the max-pool are 2x2 and do not overlap.
    """

    before: Tensor
    switches: Tensor | None
    apart: bool = False


class Features(NamedTuple):
    """Output of a backbone: the last feature map and its steps to half the size, shallow to deep (if asked for)."""

    map: Tensor
    pools: list[Pooled]

    def of(self, rows: Sequence[int]) -> Features:
        """Those of some of the images."""
        kept = list(rows)
        pools = [
            pool._replace(before=pool.before[kept], switches=None if pool.switches is None else pool.switches[kept])
            for pool in self.pools
        ]
        return Features(self.map[kept], pools)


class Backbone(nn.Module):
    """Maps (B, 3, H, W) to features (B, channels, ~H/stride, ~W/stride).

    A subclass gives `forward(x, with_pools=False) -> Features`.

    Attributes:
        channels: Channels of the last feature map.
        stride: Input pixels per feature cell.
        pool_channels: Channels before each step to half the size, shallow to deep; their number fixes the decoder's
            depth.
        pool_depths: Number of decoder layers that mirror each of them, shallow to deep.
        last: The layers of the last block, which `trainable="last"` trains.
        has_switches: Whether every step is a max-pool.
        pretrained: Whether weights were loaded into it here.
    """

    pretrained = False

    def __init__(
        self,
        *,
        channels: int,
        stride: int,
        pool_channels: tuple[int, ...],
        pool_depths: tuple[int, ...],
        has_switches: bool,
    ) -> None:
        super().__init__()
        if len(pool_channels) != len(pool_depths):
            raise ValueError(f"pool_channels and pool_depths differ in length: {pool_channels}, {pool_depths}")
        self.channels = channels
        self.stride = stride
        self.pool_channels = pool_channels
        self.pool_depths = pool_depths
        self.has_switches = has_switches

    @property
    def last(self) -> Sequence[nn.Module]:
        raise NotImplementedError

    def train_only(self, trainable: Trainable) -> None:
        """Make no layer trainable, or those of the last block, or all."""
        self.requires_grad_(trainable == "all")
        if trainable == "last":
            for layer in self.last:
                layer.requires_grad_(True)

    def own_names(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Rename a published state dict to the names of this module."""
        return state


class PoolingBackbone(Backbone):
    """A sequence of layers with max-pools, whose switches guide the decoder.

    Args:
        features: The layers, numbered as in torchvision so that its weights load by name.
        last_block: Index of the first layer of the last block.
    """

    def __init__(
        self,
        features: nn.Sequential,
        *,
        channels: int,
        stride: int,
        pool_channels: tuple[int, ...],
        pool_depths: tuple[int, ...],
        last_block: int,
    ) -> None:
        super().__init__(
            channels=channels, stride=stride, pool_channels=pool_channels, pool_depths=pool_depths, has_switches=True
        )
        self.features = features
        self.last_block = last_block

    @property
    def last(self) -> Sequence[nn.Module]:
        return list(self.features)[self.last_block :]

    def forward(self, x: Tensor, with_pools: bool = False) -> Features:
        pools = []
        for layer in self.features:
            if with_pools and isinstance(layer, nn.MaxPool2d):
                before = x
                x, switches = F.max_pool2d(
                    x, layer.kernel_size, layer.stride, layer.padding, ceil_mode=layer.ceil_mode, return_indices=True
                )
                pools.append(Pooled(before, switches, layer.kernel_size == layer.stride == 2 and not layer.padding))
            else:
                x = layer(x)
        return Features(x, pools)
