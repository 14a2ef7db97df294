"""Masks at the size of the video, with borders that follow the frame's edges rather than the superpixels'."""

from __future__ import annotations

import cv2
import numpy as np

_RADIUS = 8  # px of a frame 400 px long
_EDGE = 20.0  # grey levels squared: weaker edges are smoothed over


def enlarged(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool -> (height, width) bool, nearest neighbour."""
    resized = cv2.resize(mask.view(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return resized.view(bool)


def guided(mask: np.ndarray, frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Filter a mask with its frame as the guide (He et al., "Guided image filtering", TPAMI 2013), and enlarge it.

    Args:
        mask: (H, W) bool.
        frame: (H, W, 3) uint8 RGB.
        size: (height, width) of the result.

    Returns:
        (height, width) bool.
    """
    radius = max(1, round(_RADIUS * max(mask.shape) / 400))
    soft = cv2.ximgproc.guidedFilter(frame, mask.astype(np.float32), radius, _EDGE)
    if mask.shape != size:
        soft = cv2.resize(soft, size[::-1], interpolation=cv2.INTER_LINEAR)
    return soft > 0.5
