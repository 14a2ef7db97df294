"""Small pictures of a run for its report, as data addresses that need no file beside the page."""

from __future__ import annotations

import base64
from collections.abc import Iterable
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
from wsvs.video.reader import read_frames
from wsvs.video.shots import middle

_QUALITY = 65
TERMS = ("attention", "motion")


def embedded(picture: np.ndarray, width: int) -> str:
    """A WebP of at most `width` px as data:image/webp;base64,...: half the bytes of a JPEG that looks the same."""
    buffer = BytesIO()
    Image.fromarray(_small(picture, width)).save(buffer, "WEBP", quality=_QUALITY, method=2)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _small(picture: np.ndarray, width: int) -> np.ndarray:
    """A picture (H, W, 3) shrunk to at most `width` px, and 4 times that in height; never enlarged."""
    share = min(1.0, width / picture.shape[1], 4 * width / picture.shape[0])
    size = (max(1, round(share * picture.shape[1])), max(1, round(share * picture.shape[0])))
    return picture if share == 1 else cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def masked(picture: np.ndarray, labels: np.ndarray, width: int) -> str:
    """A mask over a picture, at most `width` px wide, as `embedded` gives it."""
    return embedded(over(_small(picture, width), labels, 0.5), width)  # first the size: there are thousands


def shot_picture(run: Path, shot: dict[str, Any], width: int) -> str | None:
    """The mask over the shot's middle frame; None where the clip or the mask is gone."""
    number = (shot["start"] + shot["stop"]) // 2
    name = f"{shot['shot']}/{number:06d}"
    return _masked(run, name, run / "frames" / f"{name}.jpg", shot["file"], number, width, shot["frames"])


def video_picture(run: Path, video: dict[str, Any], width: int) -> str | None:
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


def term_pictures(run: Path, shot: str, width: int) -> dict[str, str]:
    """Attention A and motion M of the shot's middle frame, as the run has written them; {} where it has not.

    They are shown at half the mask's width.
    """
    found = {}
    for term in TERMS:
        path = run / "terms" / shot / f"{term}.jpg"
        if path.is_file():
            found[term] = embedded(heat(read_image(path)[..., 0] / 255), 2 * width // 3)
    return found


def prediction_scores(
    predictions: Path, truth: Path, ids: Iterable[str], labels: int, lookup: np.ndarray | None = None
) -> dict[str, float]:
    """{id: mean IoU over the classes, background included, that are in the mask or in the true one}.

    Images of background alone, in both, are left out: they are right, and show nothing.

    Args:
        lookup: See `wsvs.metrics.mask_files.label_lookup`; a mask with a label that has no class is left out.
    """
    found = {}
    for name in ids:
        try:
            ours, true = translate(read_mask(predictions / f"{name}.png"), lookup), read_mask(truth / f"{name}.png")
        except (BadItem, ValueError):
            continue
        if ours.shape == true.shape:
            known = true != 255
            counts = np.bincount(
                true[known].astype(np.int64) * 256 + ours[known], minlength=256 * 256
            ).reshape(256, 256)
            union = (counts.sum(0) + counts.sum(1) - counts.diagonal())[:labels]
            if not union[1:].any():
                continue
            found[name] = float((counts.diagonal()[:labels] / np.maximum(union, 1))[union > 0].mean())
    return found


def prediction_pictures(
    root: Path, predictions: Path, truth: Path, name: str, width: int, lookup: np.ndarray | None = None
) -> dict[str, str]:
    """The image's address, and the prediction and the true mask over it; {} where one of the files cannot be read."""
    image = find_image(root, name)
    if image is None:
        return {}
    try:
        pixels = read_image(image)
        ours, true = translate(read_mask(predictions / f"{name}.png"), lookup), read_mask(truth / f"{name}.png")
        pictures = {key: masked(pixels, mask, width) for key, mask in (("prediction", ours), ("truth", true))}
    except BadItem:
        return {}
    return {"file": image.absolute().as_uri(), **pictures}
