"""Thumbnails of a run for its report, as data addresses that need no file beside the page."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from wsvs.core.errors import BadItem
from wsvs.core.masks import read_mask
from wsvs.core.pictures import heat, over
from wsvs.data.images import find_image, read_image
from wsvs.metrics.mask_files import translate
from wsvs.report.records import ImageCard
from wsvs.video.reader import read_frames
from wsvs.video.shots import middle

_QUALITY = 65


def embedded(image: np.ndarray, width: int) -> str:
    """A WebP of at most `width` px as data:image/webp;base64,...: half the bytes of a JPEG that looks the same."""
    buffer = BytesIO()
    Image.fromarray(_small(image, width)).save(buffer, "WEBP", quality=_QUALITY, method=2)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _small(image: np.ndarray, width: int) -> np.ndarray:
    """An image (H, W, 3) shrunk to at most `width` px, and 4 times that in height; never enlarged."""
    share = min(1.0, width / image.shape[1], 4 * width / image.shape[0])
    size = (max(1, round(share * image.shape[1])), max(1, round(share * image.shape[0])))
    return image if share == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def masked(image: np.ndarray, labels: np.ndarray, width: int) -> str:
    """A mask over an image, at most `width` px wide, as `embedded` gives it."""
    return embedded(over(_small(image, width), labels, 0.5), width)  # first the size: there are thousands


def shot_thumbnail(run: Path, shot: dict[str, Any], width: int) -> str | None:
    """The mask over the shot's middle frame; None where the clip or the mask is gone."""
    number = (shot["start"] + shot["stop"]) // 2
    name = f"{shot['shot']}/{number:06d}"
    return _masked(run, name, run / "frames" / f"{name}.jpg", shot["file"], number, width, shot["frames"])


def video_thumbnail(run: Path, video: dict[str, Any], width: int) -> str | None:
    """The same of a video that was segmented whole."""
    number = middle(video["frames"], video.get("damaged", ()))
    name = f"{video['video']}/{number:05d}"
    return _masked(run, name, run / "frames" / f"{name}.jpg", video["file"], number, width)


def _masked(
    run: Path, name: str, kept: Path, file: str, number: int, width: int, total: int | None = None
) -> str | None:
    try:
        frame = read_image(kept) if kept.is_file() else next(
            read_frames(file, number, number + 1, longest_edge=2 * width, partial_ok=True, total=total)
        )
        return masked(frame, read_mask(run / "masks" / f"{name}.png"), width)
    except (BadItem, StopIteration):
        return None


def term_thumbnail(run: Path, shot: str, term: str, width: int) -> str | None:
    """Attention A or motion M of the shot's middle frame at half the mask's width; None where the run has not it."""
    path = run / "terms" / shot / f"{term}.jpg"
    return embedded(heat(read_image(path)[..., 0] / 255), 2 * width // 3) if path.is_file() else None


def image_card(
    root: Path, predicted: Path, truth: Path, name: str, iou: float, width: int, lookup: np.ndarray | None = None
) -> ImageCard | None:
    """The prediction and the true mask over an image; None where one of the files cannot be read."""
    image = find_image(root, name)
    if image is None:
        return None
    try:
        pixels = read_image(image)
        ours, true = translate(read_mask(predicted / f"{name}.png"), lookup), read_mask(truth / f"{name}.png")
    except BadItem:
        return None
    return ImageCard(name, iou, image.absolute().as_uri(), masked(pixels, ours, width), masked(pixels, true, width))
