"""Images for human viewers: heat maps, mask overlays, rows of tiles with captions."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from wsvs.core.classes import IGNORE, voc_palette
from wsvs.core.letters import any_font

_GAP = 8  # px between tiles and around the figure
_INK, _PAPER = (40, 40, 40), (255, 255, 255)


def heat(values: np.ndarray) -> np.ndarray:
    """(H, W) numbers in [0, 1] -> (H, W, 3) uint8, from black over red to bright yellow. Others are clipped."""
    grey = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO)[..., ::-1]


def over(image: np.ndarray, labels: np.ndarray, strength: float = 0.6) -> np.ndarray:
    """Labels over an image, in the colours of PASCAL VOC and with a white outline; what has no label is paler.

    Args:
        image: (H, W, 3) uint8 RGB.
        labels: (h, w) uint8 or bool, 0 = background, 255 = void; brought to the image's size.
        strength: Share of the colour, [0, 1]; half of it is white's share where there is no label.

    Returns:
        (H, W, 3) uint8.
    """
    size = (image.shape[1], image.shape[0])
    image, labels = np.ascontiguousarray(image), np.ascontiguousarray(labels, np.uint8)
    labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT)
    # In 8 bits: a photograph of 24 megapixels takes 1.4 GB as floats.
    shown = cv2.addWeighted(image, 1 - strength, voc_palette()[labels], strength, 0)
    grey = np.arange(256)
    paler = cv2.LUT(image, np.rint(grey + strength / 2 * (255 - grey)).astype(np.uint8))
    cv2.copyTo(paler, np.equal(labels, 0).view(np.uint8), shown)
    inner = cv2.erode(labels, np.ones((3, 3), np.uint8)) != labels  # the smaller label gives way at a border
    shown[inner & (labels != IGNORE)] = 255
    return shown


def marked(image: np.ndarray, text: str) -> np.ndarray:
    """A copy of (H, W, 3) uint8 with a short text on a white ground in the upper left corner."""
    size = max(8, image.shape[1] // 32)
    letters = any_font(text, size)
    shown = Image.fromarray(image)
    draw = ImageDraw.Draw(shown)
    draw.rectangle((0, 0, int(letters.getlength(text)) + size // 2, size + size // 2), _PAPER)
    draw.text((size // 4, 3 * size // 4), text, _INK, letters, anchor="lm")
    return np.asarray(shown)


def shrunk(image: np.ndarray, longest: int) -> np.ndarray:
    """(H, W, 3) uint8 with a longest side of at most `longest` pixels; smaller images are returned unchanged."""
    height, width = image.shape[:2]
    share = longest / max(height, width)
    if share >= 1:
        return image
    size = (max(1, round(width * share)), max(1, round(height * share)))
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize(size, Image.Resampling.BOX))


def row(tiles: Sequence[tuple[str, np.ndarray]], *, width: int = 212, title: str = "") -> Image.Image:
    """Images side by side, each with its caption below.

    Args:
        tiles: (caption, which may hold line breaks, and (H, W, 3) uint8).
        width: Of a tile in px.
        title: A line above.
    """
    if not tiles or width < 1:
        raise ValueError(f"a row needs a tile and a width of at least 1, got {len(tiles)} tiles and width {width}")
    images = [_scale(image, width) for _, image in tiles]
    tallest = max(image.height for image in images)
    top = _GAP + (24 if title else 0)
    lines = max(caption.count("\n") + 1 for caption, _ in tiles)
    canvas = Image.new(
        "RGB", (_GAP + len(tiles) * (width + _GAP), top + tallest + _GAP // 2 + 18 * lines + _GAP), _PAPER
    )
    draw = ImageDraw.Draw(canvas)
    draw.text((_GAP, _GAP), title, _INK, any_font(title, 13))
    for number, ((caption, _), image) in enumerate(zip(tiles, images, strict=True)):
        left = _GAP + number * (width + _GAP)
        canvas.paste(image, (left, top))
        draw.multiline_text((left, top + tallest + _GAP // 2), caption, _INK, any_font(caption, 11))
    return canvas


def stack(rows: Sequence[Image.Image]) -> Image.Image:
    """Images stacked vertically, as wide as the widest one."""
    if not rows:
        raise ValueError("a stack needs an image, got none")
    canvas = Image.new("RGB", (max(one.width for one in rows), sum(one.height for one in rows)), _PAPER)
    top = 0
    for one in rows:
        canvas.paste(one, (0, top))
        top += one.height
    return canvas


def _scale(pixels: np.ndarray, width: int) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    height = max(1, round(image.height * width / image.width))
    smaller = width < image.width
    return image.resize((width, height), Image.Resampling.BOX if smaller else Image.Resampling.BICUBIC)
