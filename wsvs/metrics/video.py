"""Scores of object segmentation in videos: IoU (J) and boundary F of a frame, and means by shot, class and video."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np


def jaccard(prediction: np.ndarray, truth: np.ndarray) -> float:
    """J = |P and G| / |P or G| of two (H, W) bool masks, 1 if both are empty.

    Raises:
        ValueError: Not bool masks of one size.
    """
    intersection, union = overlap(prediction, truth)
    return _ratio(intersection, union)


def overlap(prediction: np.ndarray, truth: np.ndarray) -> tuple[int, int]:
    """Pixels of the intersection and of the union of two (H, W) bool masks. Raises `ValueError` as `jaccard`."""
    for mask, what in ((prediction, "prediction"), (truth, "truth")):
        if mask.ndim != 2 or mask.dtype != np.bool_:
            raise ValueError(f"{what} must be an (H, W) bool mask, got {mask.shape} {mask.dtype}")
    if prediction.shape != truth.shape:
        raise ValueError(f"prediction is {prediction.shape} but truth is {truth.shape} (height, width)")
    return int(np.count_nonzero(prediction & truth)), int(np.count_nonzero(prediction | truth))


def boundary_f(prediction: np.ndarray, truth: np.ndarray, tolerance: float = 0.008) -> float:
    """F of the contours of two (H, W) bool masks (Perazzi et al., "A benchmark dataset", CVPR 2016, section 5).

    A contour pixel counts as found if the other contour passes within `tolerance` times the image diagonal,
    rounded up to whole pixels. F = 2PR / (P + R); 1 if neither mask has a contour, 0 if only one has.

    Raises:
        ValueError: Not bool masks of one size.
    """
    overlap(prediction, truth)  # checks the two masks
    radius = math.ceil(tolerance * math.hypot(*truth.shape))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc = (x * x + y * y <= radius * radius).astype(np.uint8)
    ours, true = _contour(prediction), _contour(truth)
    if not ours.any() or not true.any():
        return float(ours.any() == true.any())
    precision = np.count_nonzero(ours & cv2.dilate(true, disc)) / np.count_nonzero(ours)
    recall = np.count_nonzero(true & cv2.dilate(ours, disc)) / np.count_nonzero(true)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _contour(mask: np.ndarray) -> np.ndarray:
    """(H, W) uint8: 1 where a pixel differs from its right, lower or lower-right neighbour; the border repeats."""
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    here, right, below, across = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    return ((here != right) | (here != below) | (here != across)).astype(np.uint8)


@dataclass(frozen=True)
class FrameScore:
    """J of one frame, the pixels it comes from, and the boundary F if it was asked for."""

    frame: str
    j: float
    intersection: int
    union: int
    f: float | None = None


@dataclass
class VideoScores:
    """Scores of frames, collected by shot; a shot belongs to one class, or to none (the empty name).

    The score of a shot is the mean J of its frames. The two averages that papers report on YouTube-Objects
    (Table 4) weigh shots differently:
        class average = mean over classes of the mean over the shots of the class,
        video average = mean over all shots.
    `pooled=True` takes the J of a shot from its summed pixels instead, so that frames with larger objects weigh more.

    Attributes:
        frames: {shot: scores of its frames}, in the order in which they were added.
        class_of: {shot: class name}.
    """

    boundary: bool = False
    frames: dict[str, list[FrameScore]] = field(default_factory=dict)
    class_of: dict[str, str] = field(default_factory=dict)

    def add(self, shot: str, class_name: str, frame: str, prediction: np.ndarray, truth: np.ndarray) -> float:
        """Score (H, W) bool masks of one frame and return its J.

        Raises:
            ValueError: Not bool masks of one size, or the shot was added under another class before.
        """
        if self.class_of.get(shot, class_name) != class_name:
            raise ValueError(f"shot {shot!r} must have one class, got {self.class_of[shot]!r} and {class_name!r}")
        intersection, union = overlap(prediction, truth)
        f = boundary_f(prediction, truth) if self.boundary else None
        score = FrameScore(frame, _ratio(intersection, union), intersection, union, f)
        self.class_of[shot] = class_name
        self.frames.setdefault(shot, []).append(score)
        return score.j

    def by_shot(self, pooled: bool = False) -> dict[str, float]:
        """{shot: J}, in the order of the shots' names."""
        return {shot: _shot_j(self.frames[shot], pooled) for shot in sorted(self.frames)}

    def boundary_by_shot(self) -> dict[str, float]:
        """{shot: mean boundary F of its frames}; empty unless `boundary` is set."""
        if not self.boundary:
            return {}
        return {
            shot: float(np.mean([score.f for score in self.frames[shot] if score.f is not None]))
            for shot in sorted(self.frames)
        }

    def by_class(self, pooled: bool = False) -> dict[str, float]:
        """{class: mean over its shots}, in the order of the classes' names; shots without a class are left out."""
        shots = self.by_shot(pooled)
        names = sorted({name for name in self.class_of.values() if name})
        return {name: _mean(j for shot, j in shots.items() if self.class_of[shot] == name) for name in names}

    def class_average(self, pooled: bool = False) -> float | None:
        """Mean over classes of the mean over the class's shots; None where no shot has a class."""
        classes = self.by_class(pooled)
        return _mean(classes.values()) if classes else None

    def video_average(self, pooled: bool = False) -> float | None:
        """Mean over shots; None where nothing was added."""
        return _mean(self.by_shot(pooled).values()) if self.frames else None

    def frame_average(self) -> float | None:
        """Mean over all frames; None where nothing was added."""
        return _mean(score.j for scores in self.frames.values() for score in scores) if self.frames else None


@dataclass(frozen=True)
class PrecisionRecall:
    """How well a choice of frames meets the relevant ones. A ratio without a denominator is 0, never NaN."""

    precision: float
    recall: float
    chosen: int
    relevant: int
    correct: int


def precision_recall(chosen: np.ndarray, relevant: np.ndarray) -> PrecisionRecall:
    """Precision and recall of chosen frames (section 3.2, the relevance filter), both (N,) bool.

    Raises:
        ValueError: Not bool arrays of one length.
    """
    chosen, relevant = np.asarray(chosen), np.asarray(relevant)
    if chosen.ndim != 1 or chosen.shape != relevant.shape or {chosen.dtype, relevant.dtype} != {np.dtype(bool)}:
        raise ValueError(
            "chosen and relevant must be (N,) bool arrays of one length, "
            f"got {chosen.shape} {chosen.dtype} and {relevant.shape} {relevant.dtype}"
        )
    counts = [int(np.count_nonzero(mask)) for mask in (chosen, relevant, chosen & relevant)]
    return PrecisionRecall(counts[2] / max(counts[0], 1), counts[2] / max(counts[1], 1), *counts)


def _shot_j(scores: list[FrameScore], pooled: bool) -> float:
    if pooled:
        return _ratio(sum(score.intersection for score in scores), sum(score.union for score in scores))
    return _mean(score.j for score in scores)


def _ratio(intersection: int, union: int) -> float:
    return intersection / union if union else 1.0


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
