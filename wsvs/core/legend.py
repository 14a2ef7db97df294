"""A strip below an image that shows the colour of each class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from wsvs.core.classes import voc_palette
from wsvs.core.letters import any_font, font

_INK, _PAPER = (40, 40, 40), (255, 255, 255)
_SMALLEST, _SHARE = 12, 32  # height of the letters in px, and at least this part of the image's width
NOTHING = "no class found"


def with_legend(image: np.ndarray, labels: Sequence[int], names: Sequence[str]) -> np.ndarray:
    """An image with a strip below it: a swatch in the palette's colour and the name, for each label.

    The strip's height depends only on the image's width and the labels, so all frames of a video have the same size.

    Args:
        image: (H, W, 3) uint8 RGB.
        labels: Labels to explain, above 0; without any the text is 'no class found'.
        names: Names of the labels 0, 1, ...

    Returns:
        (H + strip, W, 3) uint8. A name that is wider than the image is cropped; one that no font can show
        (`wsvs.core.letters`) is replaced by its label.
    """
    width = image.shape[1]
    size = max(_SMALLEST, width // _SHARE)
    gap = size // 2
    readable = [(label, names[label] if font(names[label], size) else str(label)) for label in labels]
    entries = [(voc_palette()[label], name) for label, name in readable] or [(None, NOTHING)]
    places, left, line = [], gap, 0
    for colour, name in entries:
        swatch = 0 if colour is None else size + gap
        length = swatch + int(any_font(name, size).getlength(name))
        if left > gap and left + length > width:
            left, line = gap, line + 1
        places.append((left, line, swatch))
        left += length + 2 * gap
    height = gap + (line + 1) * (size + gap)
    strip = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(strip)
    for (colour, name), (x, row, swatch) in zip(entries, places, strict=True):
        y = gap + row * (size + gap)
        if colour is not None:
            draw.rectangle((x, y, x + size - 1, y + size - 1), tuple(int(value) for value in colour))
        draw.text((x + swatch, y + size / 2), name, _INK, any_font(name, size), anchor="lm")
    return np.concatenate([image, np.asarray(strip)])
