"""Label masks on disk: 8-bit indexed PNG with the VOC palette."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from wsvs.core.classes import voc_palette
from wsvs.core.errors import BadItem
from wsvs.core.files import write_bytes
from wsvs.core.tars import File, opened

_PALETTE = voc_palette().tobytes()


def encode_mask(mask: np.ndarray) -> bytes:
    """(H, W) uint8 labels -> PNG bytes with palette."""
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise ValueError(f"a mask is (H, W) uint8, got {mask.shape} {mask.dtype}")
    image = Image.fromarray(mask)
    image.putpalette(_PALETTE)
    buffer = BytesIO()
    image.save(buffer, "PNG", compress_level=1)  # level 1: a third of the time, masks stay small anyway
    return buffer.getvalue()


def write_mask(path: str | Path, mask: np.ndarray) -> None:
    """Write (H, W) uint8 labels atomically. Raises `UserError` on a full or read-only disk."""
    write_bytes(path, encode_mask(mask))


def read_mask(path: str | File) -> np.ndarray:
    """Read labels of a mask as (H, W) uint8: indexed, grey or 1-bit PNG (1-bit gives 0 and 1).

    Raises:
        BadItem: Missing, unreadable, or a colour image instead of labels.
    """
    try:
        with Image.open(opened(path)) as image:
            if image.mode not in ("P", "L", "1"):
                raise BadItem(
                    f"mask is an image of mode {image.mode}, not labels",
                    where=path,
                    remedy="save masks as indexed or grey 8-bit PNG, one label per pixel",
                )
            return np.asarray(image).astype(np.uint8)
    except FileNotFoundError:
        raise BadItem("mask not found", where=path) from None
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise BadItem(f"mask cannot be read: {error}", where=path) from error
