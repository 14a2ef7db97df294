"""From what the networks say of an image to its mask, and from a video's frames to its classes. Without Lightning."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wsvs.config.stages import Cut
from wsvs.nets.model import Found, label_map
from wsvs.video.reader import glance, read_frames
from wsvs.video.still import cut_image

CLASS_FRAMES = 16  # frames whose mean scores give the classes of a video


def mask_of(image: Tensor, found: Found, threshold: float, refine: Cut) -> np.ndarray:
    """(H, W) uint8, class number + 1, or 0, of an image (3, H, W) uint8; see `wsvs.nets.segmenter`."""
    numbers, probabilities, _ = found
    if refine == "cut" and numbers:
        pixels = image.permute(1, 2, 0).cpu().numpy()
        labels = [number + 1 for number in numbers]
        return cut_image(pixels, probabilities.float().cpu().numpy(), labels, background=threshold)
    return label_map(probabilities, numbers, (image.shape[-2], image.shape[-1]), threshold).cpu().numpy()


def scores_of_video(
    path: str | Path,
    scores: Callable[[np.ndarray], Tensor],
    *,
    over: Callable[[Iterable[np.ndarray]], Iterator[np.ndarray]] = iter,
) -> Tensor:
    """Mean scores (C,) of at most `CLASS_FRAMES` frames of a video, evenly spaced; `scores` are those of a frame.

    Args:
        over: Iterates over the frames, such as `wsvs.data.prefetch.Stopwatch.over`.
    """
    step = max(1, -(-glance(path).frames // CLASS_FRAMES))

    def looks() -> Iterator[Tensor]:
        for number, frame in enumerate(over(read_frames(path, partial_ok=True))):
            if number % step == 0:
                yield scores(frame)

    return torch.stack(list(looks())).mean(0)
