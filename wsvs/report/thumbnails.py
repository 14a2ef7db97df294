"""Thumbnails of a run for its report, as data URLs."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from wsvs.core.errors import BadItem
from wsvs.core.tars import File
from wsvs.core.visualize import heat, over
from wsvs.data.images import as_rgb, read_image
from wsvs.video.reader import read_frames

_QUALITY = 65


def embedded(image: np.ndarray, width: int) -> str:
    """A WebP of at most `width` px as data:image/webp;base64,...: half the size of a JPEG of the same quality."""
    buffer = BytesIO()
    Image.fromarray(_small(image, width)).save(buffer, "WEBP", quality=_QUALITY, method=2)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _small(image: np.ndarray, width: int) -> np.ndarray:
    """An image (H, W, 3) shrunk to at most `width` px, and 4 times that in height; never enlarged."""
    share = min(1.0, width / image.shape[1], 4 * width / image.shape[0])
    size = (max(1, round(share * image.shape[1])), max(1, round(share * image.shape[0])))
    return image if share == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def masked(image: np.ndarray, labels: np.ndarray, width: int) -> str:
    """A mask over an image, at most `width` px wide, as a data URL."""
    return embedded(over(_small(image, width), labels, 0.5), width)  # shrink first: there are thousands


def masked_image(file: Path | None, labels: np.ndarray, width: int) -> str:
    """A mask over its image; over white if the image cannot be read."""
    try:
        if file is None:
            raise FileNotFoundError
        with Image.open(file) as opened:
            opened.draft(None, (2 * width, 2 * width))  # decode JPEGs at a smaller size
            image = as_rgb(opened)
    except Exception:  # decoders raise many types for damaged files
        image = np.full((*labels.shape, 3), 255, np.uint8)
    return masked(image, labels, width)


def masked_frame(
    file: Path, number: int, labels: np.ndarray, width: int, *, kept: File | None = None, frames: int | None = None
) -> str | None:
    """A mask over a frame of a video; None if the video no longer exists.

    Args:
        kept: The frame as an image, if the run stored it.
        frames: Number of frames of the whole video, if known.
    """
    try:
        frame = (
            read_image(kept)
            if kept is not None and kept.is_file()
            else next(read_frames(str(file), number, number + 1, longest_edge=2 * width, partial_ok=True, total=frames))
        )
    except (BadItem, StopIteration):
        return None
    return masked(frame, labels, width)


def term_thumbnail(path: File, width: int) -> str | None:
    """Attention A or motion M of a shot's middle frame at 2/3 of the width; None if the run did not write it."""
    return embedded(heat(read_image(path)[..., 0] / 255), 2 * width // 3) if path.is_file() else None


def probability_thumbnail(scores: Path, width: int) -> str | None:
    """The maximum probability over classes at each pixel; None if the run did not store them."""
    if not scores.is_file():
        return None
    with np.load(scores, allow_pickle=False) as kept:
        maps = kept["probabilities"]
    return embedded(heat(maps.max(0).astype(np.float32)), width) if len(maps) else None
