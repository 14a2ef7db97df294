"""The energy of section 3.2 on a single image: probabilities and colours over superpixels, without motion."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from wsvs.video.frame_graph import describe_frames
from wsvs.video.refine import guided
from wsvs.video.segmentation import segment
from wsvs.video.settings import SegmentSettings

# Chosen on development images; docs/animals.md has the effect of the cut.
SETTINGS = SegmentSettings(
    superpixels=1000,
    longest_edge=320,
    lambda_a=2.0,
    lambda_m=0.0,
    lambda_c=2.0,
    alpha_s=200.0,
    clip_a=0.1,
    fg_components=3,
    bg_components=5,
    fg_threshold=0.7,
    bg_threshold=0.2,
    reestimate=1,
)


def cut_image(
    image: np.ndarray,
    probabilities: np.ndarray,
    labels: Sequence[int],
    *,
    background: float = 0.5,
    settings: SegmentSettings = SETTINGS,
) -> np.ndarray:
    """A label for every pixel: a binary cut per class, then the most probable class whose cut contains the pixel.

    The probability of a class is used as its attention A; where another class is more likely it is 0. Colour models and
    the smoothness of Eq. (5) are those of videos, and borders follow the image's edges.

    Args:
        image: (H, W, 3) uint8 RGB.
        probabilities: (K, h, w) in [0, 1].
        labels: Label of each class, 1 to 255.
        background: Neutral probability between object and background, in (0, 1).

    Returns:
        (H, W) uint8, one of `labels`, or 0.
    """
    if len(probabilities) != len(labels):
        raise ValueError(f"expected one label per probability map, got {len(labels)} and {len(probabilities)}")
    size = (image.shape[0], image.shape[1])
    graph = describe_frames([image], settings)
    height, width = graph.shape
    frame = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    maps = np.stack([cv2.resize(one.astype(np.float32), (width, height)) for one in probabilities])
    likeliest = maps.argmax(0)
    full = np.stack([cv2.resize(one, size[::-1]) for one in maps])
    found = np.zeros((len(labels), *size), bool)
    for k, one in enumerate(maps):
        guide = np.where(likeliest == k, _shifted(one, background), 0.0)
        if guide.max() <= 0.5:
            continue
        mask = segment(graph, guide[None].astype(np.float32), settings).masks()[0]
        found[k] = guided(mask, frame, size)
    best = np.where(found, full, -1.0).argmax(0)
    return np.where(found.any(0), np.array(labels, np.uint8)[best], np.uint8(0))


def _shifted(probability: np.ndarray, background: float) -> np.ndarray:
    """Probabilities whose log-odds are moved so that `background` becomes 0.5."""
    background = min(max(background, 1e-3), 1 - 1e-3)
    object_, rest = probability * (1 - background), (1 - probability) * background
    return object_ / np.maximum(object_ + rest, 1e-12)
