"""Semantic segmentation of still images, and of videos frame by frame (section 3.4), without Lightning."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from wsvs.config.checked import checked
from wsvs.config.stages import Cut, PredictSettings
from wsvs.data.loading import scaled
from wsvs.data.prefetch import Stopwatch, prefetch
from wsvs.data.tagged import to_tensor
from wsvs.lit.masks import mask_of, scores_of_video
from wsvs.nets.model import SegmentationNet
from wsvs.nets.segmenter import Segmenter
from wsvs.video.reader import read_frames

_DEFAULT = PredictSettings()
_AHEAD = 4  # frames of a video that are decoded while others are segmented

VideoFrame = tuple[np.ndarray, Callable[[], np.ndarray], list[int]]
"""(H, W, 3) uint8 RGB, a function that segments it into (H, W) uint8, and the numbers of the video's classes."""


@dataclass(frozen=True)
class Segmented:
    """Result of one image.

    Attributes:
        mask: (H, W) uint8, class number + 1, or 0.
        classes: Numbers of the segmented classes.
        probabilities: (K, h, w) in [0, 1] at the network's size, for these classes.
        scores: (C,) in [0, 1], of every class.
    """

    mask: np.ndarray
    classes: list[int]
    probabilities: Tensor
    scores: Tensor


class ImageSegmenter(Segmenter):
    """Segments one image at a time, at its own shape; a video frame by frame.

    Args:
        net: Trained networks.
        refine: 'cut' aligns borders with the image's colours (`wsvs.video.still`).
        settings: See `Segmenter`.

    Attributes:
        watch: How long it waits for frames.
    """

    @checked
    def __init__(self, net: SegmentationNet, *, refine: Cut = _DEFAULT.refine, **settings: Any) -> None:
        super().__init__(net, **settings)
        self.refine = refine
        self.watch = Stopwatch()

    def segment(self, image: Tensor, classes: Sequence[int] | None = None) -> Segmented:
        """Segment an image (3, H, W) uint8; `classes` are class numbers, None predicts them.

        Raises:
            BadItem: The network's output is not finite.
        """
        [found] = self.find([scaled(image.to(self.device))], [classes])
        mask = mask_of(image, found, self.threshold(found), self.refine)
        return Segmented(mask, found.classes, found.probabilities, found.scores)

    def video(self, path: str | Path, classes: Sequence[int] | None = None) -> Iterator[VideoFrame]:
        """Yield the frames of a video, one at a time.

        The classes are predicted once for the video, from some of its frames, so that they do not flicker.

        Raises:
            BadItem: On iteration, if the video cannot be read or breaks off.
        """
        numbers = self.classes_of_video(path) if classes is None else list(classes)
        for frame in self.watch.over(prefetch(read_frames(path), _AHEAD)):
            yield frame, partial(self._mask, frame, numbers), numbers

    def _mask(self, frame: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
        return self.segment(to_tensor(frame), numbers).mask

    def classes_of_video(self, path: str | Path) -> list[int]:
        """Classes whose mean score over evenly spaced frames reaches the threshold, else the best one."""
        scores = scores_of_video(
            path, lambda frame: self.net.probabilities(self._scaled(frame), [])[2], over=self.watch.over
        )
        return self.net.classes_shown(scores, self.class_threshold)

    def _scaled(self, frame: np.ndarray) -> Tensor:
        return scaled(to_tensor(frame).to(self.device))
