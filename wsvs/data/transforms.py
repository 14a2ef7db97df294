"""Augmentation of uint8 images (and masks) with numpy and OpenCV, driven by an explicit random generator.

Geometry only: images of all sizes become crops of one size. Colour jitter is applied to batches on the device.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from wsvs.config.base import RangeAbove0, Share
from wsvs.config.checked import checked
from wsvs.config.stages import EncoderSettings, Side
from wsvs.core.classes import IGNORE

_DEFAULT = EncoderSettings()
FILL = (124, 116, 104)  # ImageNet's mean colour: 0 after the encoder's normalisation


def resize_image(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize uint8 (H, W, 3) to (height, width, 3): area interpolation to shrink, bilinear to enlarge."""
    if image.shape[:2] == (height, width):
        return image
    smaller = height < image.shape[0] or width < image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def jitter_factors(strength: float, rng: np.random.Generator) -> np.ndarray:
    """Random factors of brightness, contrast and saturation in 1 +- strength, (3,) float32.

    They are part of the item and are applied on the device (`wsvs.data.loading.jittered`).
    """
    return (1 + strength * rng.uniform(-1, 1, 3)).astype(np.float32)


def crop_or_pad(array: np.ndarray, top: int, left: int, size: int, fill: int | tuple[int, ...]) -> np.ndarray:
    """The window (top, left, size, size) of an array; pixels outside the array get `fill`."""
    result = np.empty((size, size, *array.shape[2:]), array.dtype)
    result[:] = fill
    height, width = array.shape[:2]
    y0, y1 = max(top, 0), min(top + size, height)
    x0, x1 = max(left, 0), min(left + size, width)
    if y0 < y1 and x0 < x1:
        result[y0 - top : y1 - top, x0 - left : x1 - left] = array[y0:y1, x0:x1]
    return result


@checked
@dataclass(frozen=True)
class ImageAugmentation:
    """Random size, crop and mirror of an image.

    Args:
        size: Side of the square crop in px.
        scale: Range of the longest side, in units of `size`.
        jitter: Colour jitter of the crop's item, 0 to 1.
    """

    size: Side
    scale: RangeAbove0 = _DEFAULT.scale
    jitter: Share = _DEFAULT.jitter

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return self.with_mask(image, np.zeros(image.shape[:2], np.uint8), rng)[0]

    def with_mask(self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The same crop of an image and its (H, W) uint8 labels; outside the image the labels are 255."""
        height, width = image.shape[:2]
        factor = rng.uniform(*self.scale) * self.size / max(height, width)
        height, width = max(1, round(height * factor)), max(1, round(width * factor))
        image = resize_image(image, height, width)
        mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        top, left = _offset(height, self.size, rng), _offset(width, self.size, rng)
        image = crop_or_pad(image, top, left, self.size, FILL)
        mask = crop_or_pad(mask, top, left, self.size, IGNORE)
        if rng.random() < 0.5:
            image, mask = image[:, ::-1], mask[:, ::-1]
        return np.ascontiguousarray(image), np.ascontiguousarray(mask)


def _offset(side: int, size: int, rng: np.random.Generator) -> int:
    """Random start of a window of `size` inside a side, or of a shorter side inside the window (negative)."""
    slack = side - size
    return int(rng.integers(0, slack + 1)) if slack >= 0 else -int(rng.integers(0, -slack + 1))
