"""A plain ViT (Dosovitskiy et al. 2021) as a backbone: its tokens form a map with one cell per patch."""

from __future__ import annotations

import sys
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

_FINE = (2, 4)  # strides of the levels made of pixels


class PatchGrid(nn.Module):
    """Images (B, 3, H, W) -> levels: pixels at strides 2 and 4, tokens of the middle block at half a patch, the last.

    A ViT has no finer maps than its patches. For edges the decoder gets the image itself, its pixels gathered into
    channels, nothing lost. Images of any size are brought to whole patches; position embeddings are interpolated.

    Args:
        model: A timm network that accepts images of any size (`dynamic_img_size`).
    """

    model: Any

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.patch = int(model.patch_embed.patch_size[0])
        depth = len(model.blocks)
        self.blocks = [depth // 2 - 1, depth - 1]
        self.fine = [stride for stride in _FINE if stride < self.patch // 2]

    @property
    def levels(self) -> list[tuple[int, int]]:
        """Channels and stride of each level."""
        width = int(self.model.embed_dim)
        return [(3 * stride**2, stride) for stride in self.fine] + [(width, self.patch // 2), (width, self.patch)]

    def forward(self, x: Tensor) -> list[Tensor]:
        size = [max(1, round(side / self.patch)) * self.patch for side in x.shape[-2:]]
        whole = x if list(x.shape[-2:]) == size else F.interpolate(x, size=size, mode="bilinear", align_corners=False)
        middle, last = self.model.forward_intermediates(
            whole, indices=self.blocks, norm=True, output_fmt="NCHW", intermediates_only=True
        )
        middle = F.interpolate(middle, scale_factor=2, mode="bilinear", align_corners=False)
        return [*(_gathered(x, stride) for stride in self.fine), middle, last]

    def own_names(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Rename weights in their original format (CLIP, DINOv2) to timm's names, with timm's own conversion."""
        convert = getattr(sys.modules[type(self.model).__module__], "checkpoint_filter_fn", None)
        return convert(state, self.model) if convert else state


def _gathered(x: Tensor, stride: int) -> Tensor:
    """Move stride x stride pixels to the channels of one cell; the far border is repeated to fill whole cells."""
    height, width = x.shape[-2:]
    return F.pixel_unshuffle(F.pad(x, (0, -width % stride, 0, -height % stride), mode="replicate"), stride)
