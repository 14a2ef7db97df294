"""A label-free choice of the background threshold."""

from __future__ import annotations

import torch
from torch import Tensor


def otsu(values: Tensor, bins: int = 256) -> float:
    """Threshold in [0, 1] that splits values best into two groups (Otsu 1979: largest variance between them).

    Args:
        values: Numbers in [0, 1], any shape. All equal: 0.5.
        bins: Resolution.
    """
    counts = torch.histc(values.float().flatten(), bins, 0.0, 1.0).double()
    centres = (torch.arange(bins, dtype=torch.float64, device=counts.device) + 0.5) / bins
    below = counts.cumsum(0)
    above = counts.sum() - below
    mass = (counts * centres).cumsum(0)
    mean_below = mass / below.clamp(min=1)
    mean_above = (mass[-1] - mass) / above.clamp(min=1)
    between = below * above * (mean_below - mean_above) ** 2
    if float(between.max()) == 0:
        return 0.5
    return float((int(between.argmax()) + 1) / bins)
