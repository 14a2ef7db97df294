"""Select the relevant frames of a clip: section 3.2, second paragraph."""

from __future__ import annotations

import numpy as np

from wsvs.config.base import Positive, Share
from wsvs.config.checked import checked
from wsvs.config.stages import RelevanceSettings

_DEFAULT = RelevanceSettings()


@checked
def relevant_runs(
    scores: np.ndarray,
    threshold: Share = _DEFAULT.threshold,
    min_frames: Positive = _DEFAULT.min_frames,
) -> list[tuple[int, int]]:
    """Find the relevant videos inside a clip.

    "[We] choose frames whose scores are larger than a threshold. If more than 5 consecutive frames are
    chosen, we consider them as a single relevant video." The paper gives 0.8 for thumbnails and key frames;
    the same number serves here.

    Args:
        scores: (T,) class score of every frame, y . f_enc(v).
        threshold: A frame is chosen when its score is larger than this; equal is not enough.
        min_frames: Minimum length of a sequence.

    Returns:
        Half-open intervals (first, end) of frame numbers, in order and of maximal length.

    Raises:
        ValueError: Scores are not a vector or contain NaN; a setting outside its range.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or np.isnan(scores).any():
        raise ValueError(f"scores must be a vector without NaN, got shape {scores.shape}")
    chosen = np.concatenate(([0], scores > threshold, [0]))
    step = np.diff(chosen)
    firsts, ends = np.flatnonzero(step == 1), np.flatnonzero(step == -1)
    return [(int(a), int(b)) for a, b in zip(firsts, ends, strict=True) if b - a >= min_frames]
