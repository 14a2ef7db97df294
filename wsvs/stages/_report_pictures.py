"""Small pictures of a run for its report, as data addresses that need no file beside the page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from wsvs.core.errors import BadItem
from wsvs.core.masks import read_mask
from wsvs.core.pictures import heat, over
from wsvs.data.images import read_image
from wsvs.lit.segmenter import SegmenterModule
from wsvs.nets.model import SegmentationNet
from wsvs.video.reader import read_frames
from wsvs.video.segmentation import describe_frames, segment
from wsvs.video.settings import SegmentSettings

_QUALITY = 70
_AROUND = 4  # frames before and after the middle that its motion is told from


def embedded(picture: np.ndarray, width: int) -> str:
    """A JPEG of at most `width` px as data:image/jpeg;base64,..."""
    image = Image.fromarray(np.ascontiguousarray(picture))
    image.thumbnail((width, 4 * width), Image.Resampling.BOX)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def shot_picture(run: Path, shot: dict[str, Any], width: int) -> str | None:
    """The mask over the shot's middle frame; None where the clip or the mask is gone."""
    middle = (shot["start"] + shot["stop"]) // 2
    name = f"{shot['shot']}/{middle:06d}"
    try:
        kept = run / "frames" / f"{name}.jpg"
        frame = read_image(kept) if kept.is_file() else next(
            read_frames(shot["file"], middle, middle + 1, longest_edge=2 * width, total=shot["frames"])
        )
        return embedded(over(frame, read_mask(run / "masks" / f"{name}.png"), 0.5), width)
    except (BadItem, StopIteration):
        return None


def term_pictures(
    shot: dict[str, Any], net: SegmentationNet, settings: SegmentSettings, width: int
) -> dict[str, str]:
    """The middle frame's attention A and motion M, computed again from the frames around it; {} if the clip is gone."""
    middle = (shot["start"] + shot["stop"]) // 2
    first, last = max(shot["start"], middle - _AROUND), min(shot["stop"], middle + _AROUND + 1)
    try:
        frames = np.stack(list(
            read_frames(shot["file"], first, last, longest_edge=settings.longest_edge, total=shot["frames"])
        ))
    except (BadItem, ValueError):
        return {}
    with torch.inference_mode():
        attention = SegmenterModule(net, settings).attention(frames, [shot["class"]])
    found = segment(describe_frames(frames, settings), attention, settings)
    t = middle - first
    return {
        "attention": embedded(heat(attention[t]), width),
        "motion": embedded(heat(found.graph.paint(found.motion)[t]), width),
    }


def prediction_scores(predictions: Path, truth: Path, ids: Sequence[str], labels: int) -> dict[str, float]:
    """{id: mean IoU over the classes, background included, that are in the mask or in the true one}."""
    found = {}
    for name in ids:
        try:
            ours, true = read_mask(predictions / f"{name}.png"), read_mask(truth / f"{name}.png")
        except BadItem:
            continue
        if ours.shape == true.shape:
            known = true != 255
            counts = np.bincount(
                true[known].astype(np.int64) * 256 + ours[known], minlength=256 * 256
            ).reshape(256, 256)
            union = (counts.sum(0) + counts.sum(1) - counts.diagonal())[:labels]
            found[name] = float((counts.diagonal()[:labels] / np.maximum(union, 1))[union > 0].mean())
    return found


def prediction_pictures(image: Path, predictions: Path, truth: Path, name: str, width: int) -> dict[str, str]:
    """The prediction and the true mask over the image; {} where one of the files cannot be read."""
    try:
        pixels = read_image(image)
        masks = {"prediction": predictions / f"{name}.png", "truth": truth / f"{name}.png"}
        return {key: embedded(over(pixels, read_mask(path), 0.5), width) for key, path in masks.items()}
    except BadItem:
        return {}
