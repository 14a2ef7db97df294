"""Multi-scale class attention (Eq. 2 and section 3.2): several input sizes, maximum over scales."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from wsvs.config.groups import NetSettings
from wsvs.nets.backbone import Features
from wsvs.nets.encoder import Encoder

SCALES = NetSettings().scales


def round_size(height: float, width: float, multiple: int) -> tuple[int, int]:
    """Nearest size whose sides are multiples of `multiple`, at least one of it."""
    return tuple(max(multiple, round(side / multiple) * multiple) for side in (height, width))  # type: ignore[return-value]


def fit_size(height: int, width: int, longest: int, multiple: int) -> tuple[int, int]:
    """Size with the same shape (up to rounding) whose longest side is `longest`, both multiples of `multiple`."""
    scale = longest / max(height, width)
    return round_size(height * scale, width * scale, multiple)


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, with antialiasing when shrinking."""
    if x.shape[-2:] == size:
        return x
    smaller = size[0] < x.shape[-2] or size[1] < x.shape[-1]
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False, antialias=smaller)


def activations(
    encoder: Encoder, images: Tensor, scales: Sequence[float] = SCALES, features: Features | None = None
) -> tuple[list[Tensor], Tensor]:
    """Raw alpha of all classes at each scale, and the logits at the scale nearest to 1.

    Args:
        images: RGB in [0, 1], (B, 3, H, W).
        features: Backbone features of these images, if they are already computed.

    Returns:
        A list of (B, C, h_s, w_s) in logit units, in the order of `scales`, and (B, C).
    """
    height, width = images.shape[-2:]
    sizes = [round_size(height * scale, width * scale, encoder.stride) for scale in scales]
    return activations_at(encoder, images, sizes, base_of(scales), features)


def base_of(scales: Sequence[float]) -> int:
    """Place of the scale nearest to 1, whose logits count."""
    return min(range(len(scales)), key=lambda place: abs(scales[place] - 1))


def activations_at(
    encoder: Encoder, images: Tensor, sizes: Sequence[tuple[int, int]], base: int, features: Features | None = None
) -> tuple[list[Tensor], Tensor]:
    """`activations` at these sizes, multiples of the encoder's stride, and the logits at the one at place `base`."""
    maps, logits = [], None
    for place, size in enumerate(sizes):
        known = features is not None and size == (images.shape[-2], images.shape[-1])
        own = encoder.features_from(features if known else encoder.backbone_features(resize(images, size)))  # type: ignore[arg-type]
        maps.append(encoder.activation(own))
        if place == base:
            logits = encoder.classify(own)
    assert logits is not None
    return maps, logits


def merge_scales(maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Resize raw alpha maps to `size`, take the maximum over scales, clip at 0, divide by the maximum.

    The maximum over scales comes before the normalisation: W is the same at all scales, so values are comparable.

    Args:
        maps: Raw alpha of the same classes at each scale, (B, K, h_s, w_s).

    Returns:
        alpha in [0, 1], (B, K, *size); a map without positive evidence is 0.
    """
    merged = F.interpolate(maps[0], size=size, mode="bilinear", align_corners=False)
    for other in maps[1:]:
        merged = torch.maximum(merged, F.interpolate(other, size=size, mode="bilinear", align_corners=False))
    merged = merged.relu()
    return merged / (merged.amax((2, 3), keepdim=True) + 1e-5)


def attention(
    encoder: Encoder,
    images: Tensor,
    classes: Tensor,
    scales: Sequence[float] = SCALES,
    size: tuple[int, int] | None = None,
    features: Features | None = None,
) -> Tensor:
    """alpha of one class per image.

    Args:
        images: RGB in [0, 1], (B, 3, H, W).
        classes: Class number of each image, (B,).
        size: Output size; that of the images by default.
        features: See `activations`.

    Returns:
        (B, 1, *size) in [0, 1].
    """
    maps, _ = activations(encoder, images, scales, features)
    rows = torch.arange(len(images), device=images.device)
    chosen = [alpha[rows, classes][:, None] for alpha in maps]
    return merge_scales(chosen, size or tuple(images.shape[-2:]))  # type: ignore[arg-type]
