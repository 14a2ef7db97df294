"""Semantic segmentation of still images, and of videos frame by frame (section 3.4), without Lightning."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from wsvs.config.checked import checked
from wsvs.config.stages import ClassThreshold, Cut, Method, PredictSettings, Threshold, Zooms
from wsvs.data.loading import scaled
from wsvs.data.tagged import to_tensor
from wsvs.lit.masks import mask_of, scores_of_video
from wsvs.nets.model import Found, SegmentationNet
from wsvs.nets.segmenter import background_threshold
from wsvs.video.reader import read_frames

_DEFAULT = PredictSettings()

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


class ImageSegmenter(nn.Module):
    """Segments one image at a time, at its own shape; a video frame by frame.

    Args:
        net: Trained networks.
        method: Source of the probabilities.
        class_threshold: Classes whose score reaches this are predicted, or with 'auto' their own thresholds, chosen in
            the encoder's training. The best class is always predicted.
        background: Pixels whose highest probability does not exceed this are background; 'otsu' chooses it per image.
        flip: Average with the mirrored image.
        zooms: Multi-scale test-time augmentation: average over these multiples of the network's size.
        refine: 'cut' aligns borders with the image's colours (`wsvs.video.still`).
    """

    @checked
    def __init__(
        self,
        net: SegmentationNet,
        *,
        method: Method = _DEFAULT.method,
        class_threshold: ClassThreshold = _DEFAULT.class_threshold,
        background: Threshold = _DEFAULT.background,
        flip: bool = _DEFAULT.flip,
        zooms: Zooms = _DEFAULT.zooms,
        refine: Cut = _DEFAULT.refine,
    ) -> None:
        super().__init__()
        self.net = net
        self.method = method
        self.class_threshold = class_threshold
        self.background = background
        self.flip = flip
        self.zooms = tuple(zooms)
        self.refine = refine

    def segment(self, image: Tensor, classes: Sequence[int] | None = None) -> Segmented:
        """Segment an image (3, H, W) uint8; `classes` are class numbers, None predicts them.

        Raises:
            BadItem: The network's output is not finite.
        """
        numbers, probabilities, scores = self.net.probabilities(
            scaled(image.to(self.net.encoder.mean.device)),
            classes,
            class_threshold=self.class_threshold,
            method=self.method,
            flip=self.flip,
            zooms=self.zooms,
        )
        threshold = background_threshold(probabilities, self.background)
        mask = mask_of(image, Found(numbers, probabilities, scores), threshold, self.refine)
        return Segmented(mask, numbers, probabilities, scores)

    def video(self, path: str | Path, classes: Sequence[int] | None = None) -> Iterator[VideoFrame]:
        """Yield the frames of a video, one at a time.

        The classes are predicted once for the video, from some of its frames, so that they do not flicker.

        Raises:
            BadItem: On iteration, if the video cannot be read or breaks off.
        """
        numbers = self.classes_of_video(path) if classes is None else list(classes)
        for frame in read_frames(path):
            yield frame, partial(self._mask, frame, numbers), numbers

    def _mask(self, frame: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
        return self.segment(to_tensor(frame), numbers).mask

    def classes_of_video(self, path: str | Path) -> list[int]:
        """Classes whose mean score over evenly spaced frames reaches the threshold, else the best one."""
        scores = scores_of_video(path, lambda frame: self.net.probabilities(self._scaled(frame), [])[2])
        return self.net.classes_shown(scores, self.class_threshold)

    def _scaled(self, frame: np.ndarray) -> Tensor:
        return scaled(to_tensor(frame).to(self.net.encoder.mean.device))
