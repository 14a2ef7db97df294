"""Dense optical flow between neighbouring frames (reference [1] of the paper; any dense flow will do)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, Protocol

import cv2
import numpy as np

DISPreset = Literal["ultrafast", "fast", "medium"]

_PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}
_SMALLEST = 16  # px; DIS refuses frames smaller than one 8 px patch with its neighbours


class Flow(Protocol):
    """An optical flow: the motion of each pixel from one frame to the next."""

    def __call__(self, previous_rgb: np.ndarray, next_rgb: np.ndarray) -> np.ndarray:
        """Two (H, W, 3) uint8 frames -> (H, W, 2) float32 px, [..., 0] = u (right), [..., 1] = v (down)."""
        ...


class DISFlow:
    """Dense inverse search (Kroeger et al., ECCV 2016) as in OpenCV.

    The paper uses the flow of Bao et al. (TIP 2014), which exists only as a CUDA binary.

    Raises:
        ValueError: Unknown preset.
    """

    def __init__(self, preset: DISPreset = "medium") -> None:
        if preset not in _PRESETS:
            raise ValueError(f"preset must be one of {', '.join(_PRESETS)}, got {preset!r}")
        self.preset = preset
        self._shape: tuple[int, ...] | None = None

    def __reduce__(self) -> tuple[type[DISFlow], tuple[DISPreset]]:
        return DISFlow, (self.preset,)  # OpenCV's engine cannot be pickled

    def __call__(self, previous_rgb: np.ndarray, next_rgb: np.ndarray) -> np.ndarray:
        if previous_rgb.shape != next_rgb.shape:
            raise ValueError(f"frames of one video have one size, got {previous_rgb.shape} and {next_rgb.shape}")
        height, width = previous_rgb.shape[:2]
        pair = [_grey(frame) for frame in (previous_rgb, next_rgb)]
        if pair[0].shape != self._shape:  # an engine keeps the scales of its first frame
            self._shape, self._engine = pair[0].shape, cv2.DISOpticalFlow_create(_PRESETS[self.preset])
        flow = self._engine.calc(pair[0], pair[1], None)
        return np.ascontiguousarray(flow[:height, :width])


FLOWS: dict[str, Callable[[], Flow]] = {f"dis_{preset}": partial(DISFlow, preset) for preset in _PRESETS}  # type: ignore[arg-type]
"""Optical flows by name. One is created for each chunk of a video, in the process that segments it."""


def _grey(frame: np.ndarray) -> np.ndarray:
    grey = frame if frame.ndim == 2 else cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)
    below, right = (max(0, _SMALLEST - side) for side in grey.shape)
    if below or right:
        grey = cv2.copyMakeBorder(grey, 0, below, 0, right, cv2.BORDER_REPLICATE)
    return grey
