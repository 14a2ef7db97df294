"""Augmentation of uint8 images (and masks) with numpy and OpenCV, driven by an explicit random generator."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

FILL = (124, 116, 104)  # ImageNet's mean colour: 0 after the encoder's normalisation


def resize_image(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """uint8 (H, W, 3) to (height, width, 3): area when shrinking, bilinear when growing."""
    if image.shape[:2] == (height, width):
        return image
    smaller = height < image.shape[0] or width < image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def colour_jitter(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Random brightness, contrast and saturation, each a factor in 1 +- strength; uint8 in, uint8 out."""
    if strength == 0:
        return image
    brightness, contrast, saturation = 1 + strength * rng.uniform(-1, 1, 3)
    x = image.astype(np.float32) * np.float32(brightness)
    grey = x @ np.array([0.299, 0.587, 0.114], np.float32)
    x = grey[..., None] + np.float32(saturation) * (x - grey[..., None])
    mean = float(grey.mean())
    x = mean + np.float32(contrast) * (x - mean)
    return np.clip(x, 0, 255).astype(np.uint8)


def crop_or_pad(array: np.ndarray, top: int, left: int, size: int, fill: int | tuple[int, ...]) -> np.ndarray:
    """The window (top, left, size, size) of an array; what lies outside gets `fill`."""
    result = np.empty((size, size, *array.shape[2:]), array.dtype)
    result[:] = fill
    height, width = array.shape[:2]
    y0, y1 = max(top, 0), min(top + size, height)
    x0, x1 = max(left, 0), min(left + size, width)
    if y0 < y1 and x0 < x1:
        result[y0 - top : y1 - top, x0 - left : x1 - left] = array[y0:y1, x0:x1]
    return result


@dataclass(frozen=True)
class ImageAugmentation:
    """Random size, crop, mirror and colour for classification.

    Args:
        size: Side of the square crop in px.
        scale: Range of the longest side, in units of `size`.
        jitter: Colour jitter, 0 to 1.
    """

    size: int
    scale: tuple[float, float] = (0.8, 1.6)
    jitter: float = 0.3

    def __post_init__(self) -> None:
        if self.size < 16:
            raise ValueError(f"the crop must be at least 16 px, got {self.size}")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale must be (low, high) with 0 < low <= high, got {self.scale}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter must be in [0, 1], got {self.jitter}")

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        height, width = image.shape[:2]
        factor = rng.uniform(*self.scale) * self.size / max(height, width)
        image = resize_image(image, max(1, round(height * factor)), max(1, round(width * factor)))
        top, left = (_offset(side, self.size, rng) for side in image.shape[:2])
        image = crop_or_pad(image, top, left, self.size, FILL)
        if rng.random() < 0.5:
            image = image[:, ::-1]
        return np.ascontiguousarray(colour_jitter(image, self.jitter, rng))


def _offset(side: int, size: int, rng: np.random.Generator) -> int:
    """Random start of a window of `size` inside a side, or of a shorter side inside the window (negative)."""
    slack = side - size
    return int(rng.integers(0, slack + 1)) if slack >= 0 else -int(rng.integers(0, -slack + 1))
