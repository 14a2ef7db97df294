"""The decoder f_dec (section 3.3): attention in, foreground mask out, shared by all classes (Eq. 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsvs.nets.attention import resize
from wsvs.nets.backbone import Backbone, Features, Pooled

Guidance = Literal["switches", "features", "none"]


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
        guidance: What tells the decoder where the edges are: `switches` puts each value back where the encoder's
            max-pool found it (the paper); `features` upsamples and adds the inputs of the max-pools through 1x1
            convolutions; `none` upsamples only.
        width: Factor on the number of channels in (0, 1]; 1 mirrors the backbone. Switches fix it to 1.
    """

    def __init__(
        self, backbone: Backbone, *, batch_norm: bool = True, guidance: Guidance = "switches", width: float = 1.0
    ) -> None:
        super().__init__()
        if guidance not in ("switches", "features", "none"):
            raise ValueError(f"model.guidance must be switches, features or none, got {guidance!r}")
        if not 0 < width <= 1:
            raise ValueError(f"model.decoder_width must be in (0, 1], got {width}")
        if guidance == "switches" and width != 1:
            raise ValueError(f"model.guidance=switches needs model.decoder_width=1 (one switch a channel), got {width}")
        if guidance == "switches" and not backbone.has_switches:
            raise ValueError(
                "model.guidance=switches needs a backbone that halves the size by max-pools alone, and this one does "
                "not: take features or none"
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
        x = self.first(F.interpolate(alpha, size=features.map.shape[-2:], mode="area"))
        if self.guidance == "features":
            x = x + self.laterals[0](features.map)
        for number, block in enumerate(self.blocks):
            pool = features.pools[-1 - number]
            x = self._unpool(x, pool)
            if self.guidance == "features":
                x = x + self.laterals[number + 1](pool.before)
            x = block(x)
        return resize(self.score(x), size)

    def _unpool(self, x: Tensor, pool: Pooled) -> Tensor:
        size = pool.before.shape[-2:]
        if self.guidance == "switches":
            assert pool.switches is not None
            return unpool(x, pool.switches, size)
        return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def unpool(x: Tensor, switches: Tensor, size: Sequence[int]) -> Tensor:
    """Put each value where the max-pool found its maximum, 0 elsewhere.

    Where windows overlap (3x3 pools of stride 2) and share a maximum, the larger value stays, so that the result
    does not depend on the order of writing.

    Args:
        x: (B, c, h, w).
        switches: Flat positions in a map of `size`, (B, c, h, w).
    """
    flat = x.new_zeros(*x.shape[:2], size[0] * size[1])
    # x follows a ReLU, so 0 is below every value that is put back
    flat = flat.scatter_reduce(2, switches.flatten(2), x.flatten(2), "amax", include_self=True)
    return flat.view(*x.shape[:2], size[0], size[1])


def foreground(score: Tensor) -> Tensor:
    """Foreground probability (B, H, W) from a two-channel score."""
    return torch.sigmoid(score[:, 1] - score[:, 0])
