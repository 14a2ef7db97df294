"""The decoder f_dec (section 3.3): attention in, foreground mask out, shared by all classes (Eq. 6)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsvs.config.checked import checked
from wsvs.config.groups import DecoderWidth, Guidance, NetSettings
from wsvs.core.errors import UserError
from wsvs.nets.attention import resize
from wsvs.nets.backbone import Backbone, Features

_DEFAULT = NetSettings()


class Guide(NamedTuple):
    """All inputs of the decoder. They depend on the encoder only, so they can be cached if it is frozen.

    Attributes:
        tensors: For every image of the batch: the attention at the size of the last feature map (B, 1, h, w); with
            guidance=features that map; then for each step to half the size, deep to shallow, what guides its unpooling:
            the step's input (features), 1 where the maximum was and 0 elsewhere (switches of 2x2 windows), the switches
            themselves (of overlapping windows), or nothing (none).
        sizes: (h, w) before each step, deep to shallow.
    """

    tensors: tuple[Tensor, ...]
    sizes: tuple[tuple[int, int], ...]


def _deconv(inputs: int, outputs: int, batch_norm: bool) -> nn.Sequential:
    # A 3x3 transposed convolution of stride 1 is a convolution with the kernel turned round, so this is one.
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, 3, padding=1, bias=True)]
    if batch_norm:
        layers.append(nn.BatchNorm2d(outputs))
    layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class Decoder(nn.Module):
    """Deconvolution and unpooling that mirror the backbone's blocks, to a two-channel score.

    For VGG-16 this is the stack of the sister papers (TransferNet, CVPR 2016; DecoupledNet, NIPS 2015): 7,675,202
    parameters without batch norm.

    Args:
        backbone: The backbone to mirror; only its description is used, it is not kept.
        batch_norm: Batch norm after every deconvolution. Without it a one-channel input starts with vanishing
            activations.
        guidance: Source of edge information: `switches` unpools each value to the position where the encoder's max-pool
            found it (the paper); `features` upsamples and adds the inputs of the max-pools through 1x1 convolutions;
            `none` upsamples only.
        width: Factor on the number of channels in (0, 8]; 1 mirrors the backbone. Switches fix it to 1. Light backbones
            have few channels at their early levels, and a decoder of as few learns slowly: more than 1 is for them.
    """

    @checked
    def __init__(
        self,
        backbone: Backbone,
        *,
        batch_norm: bool = _DEFAULT.batch_norm,
        guidance: Guidance = _DEFAULT.guidance,
        width: DecoderWidth = _DEFAULT.decoder_width,
    ) -> None:
        super().__init__()
        NetSettings(guidance=guidance, decoder_width=width)  # checks their combination
        if guidance == "switches" and not backbone.has_switches:
            raise UserError(
                "guidance=switches needs a backbone that downsamples by max-pools alone, and this one does not",
                where=guidance,
                remedy="use features or none",
                kind="guidance",
            )
        self.guidance = guidance
        channels = [max(8, round(c * width)) for c in backbone.pool_channels]
        self.first = _deconv(1, channels[-1], batch_norm)
        self.blocks = nn.ModuleList()
        self.laterals = nn.ModuleList()
        if guidance == "features":
            self.laterals.append(nn.Conv2d(backbone.channels, channels[-1], 1))
        for level in reversed(range(len(channels))):
            here = channels[level]
            below = channels[level - 1] if level else here
            outputs = [here] * (backbone.pool_depths[level] - 1) + [below]
            inputs = [here, *outputs[:-1]]
            layers = [_deconv(i, o, batch_norm) for i, o in zip(inputs, outputs, strict=True)]
            self.blocks.append(nn.Sequential(*layers))
            if guidance == "features":
                self.laterals.append(nn.Conv2d(backbone.pool_channels[level], here, 1))
        self.score = nn.Conv2d(channels[0], 2, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                if guidance == "switches":
                    nn.init.normal_(module.weight, std=0.01)
                else:
                    nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, alpha: Tensor, features: Features, size: tuple[int, int]) -> Tensor:
        """Score of background and foreground, (B, 2, *size).

        Args:
            alpha: Attention in [0, 1], (B, 1, any size); brought to the size of the feature map.
            features: The backbone's output for the same images, with its pools.
            size: Output size; that of the images.
        """
        return self.decode(self.guide(alpha, features), size)

    def guide(self, alpha: Tensor, features: Features) -> Guide:
        """The inputs of `decode`; arguments as in `forward`."""
        cells = features.map.shape[-2:]
        tensors = [alpha if alpha.shape[-2:] == cells else F.interpolate(alpha, size=cells, mode="area")]
        if self.guidance == "features":
            tensors.append(features.map)
        for pool in reversed(features.pools):
            if self.guidance == "features":
                tensors.append(pool.before)
            elif self.guidance == "switches":
                assert pool.switches is not None
                tensors.append(marked(pool.switches, pool.before) if pool.apart else pool.switches)
        sizes = ((pool.before.shape[-2], pool.before.shape[-1]) for pool in reversed(features.pools))
        return Guide(tuple(tensors), tuple(sizes))

    def decode(self, guide: Guide, size: tuple[int, int]) -> Tensor:
        """Score of background and foreground, (B, 2, *size)."""
        left = iter(guide.tensors)
        x = self.first(next(left))
        if self.guidance == "features":
            x = x + self.laterals[0](next(left))
        for number, (block, larger) in enumerate(zip(self.blocks, guide.sizes, strict=True)):
            if self.guidance == "switches":
                x = unpool(x, next(left), larger)
            else:
                x = F.interpolate(x, size=larger, mode="bilinear", align_corners=False)
            if self.guidance == "features":
                x = x + self.laterals[number + 1](next(left))
            x = block(x)
        return resize(self.score(x), size)


def marked(switches: Tensor, before: Tensor) -> Tensor:
    """1 where a max-pool found its maxima, else 0, with the size, type and layout of its input (B, c, h, w)."""
    marks = torch.zeros_like(before, memory_format=torch.contiguous_format)
    marks.flatten(2).scatter_(2, switches.flatten(2), 1.0)
    return marks.contiguous(memory_format=torch.channels_last)


def unpool(x: Tensor, where: Tensor, size: tuple[int, int]) -> Tensor:
    """Unpool each value to the position where the max-pool found its maximum, with 0 elsewhere.

    Where windows overlap (3x3 pools of stride 2) and share a maximum, the larger value stays, so that the result
    does not depend on the order of writing.

    Args:
        x: (B, c, h, w).
        where: The positions from `marked`, (B, c, *size), for 2x2 windows that do not overlap; else the switches,
            flat positions in a map of `size`, (B, c, h, w).
    """
    if where.is_floating_point():
        grown = F.interpolate(x, scale_factor=2, mode="nearest")
        odd = size[0] - grown.shape[-2], size[1] - grown.shape[-1]  # a last row or column is in no window
        return (F.pad(grown, (0, odd[1], 0, odd[0])) if any(odd) else grown) * where.to(x.dtype)
    flat = x.new_zeros(*x.shape[:2], size[0] * size[1])
    # x follows a ReLU, so 0 is not above any value
    flat = flat.scatter_reduce(2, where.flatten(2), x.flatten(2), "amax", include_self=True)
    return flat.view(*x.shape[:2], *size).contiguous(memory_format=torch.channels_last)


def foreground(score: Tensor) -> Tensor:
    """Foreground probability (B, H, W) from a two-channel score."""
    return torch.sigmoid(score[:, 1] - score[:, 0])
