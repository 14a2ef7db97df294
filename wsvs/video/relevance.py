"""Which frames of a clip show the class: section 3.2, second paragraph."""

from __future__ import annotations

import numpy as np


def relevant_runs(
    scores: np.ndarray, threshold: float = 0.8, min_frames: int = 6
) -> list[tuple[int, int]]:
    """Find the relevant videos inside a clip.

    "[We] choose frames whose scores are larger than a threshold. If more than 5 consecutive frames are
    chosen, we consider them as a single relevant video." The paper gives 0.8 for thumbnails and key frames;
    the same number serves here.

    Args:
        scores: (T,) class score of every frame, y . f_enc(v).
        threshold: A frame is chosen when its score is larger than this; equal is not enough.
        min_frames: Shortest run that is kept.

    Returns:
        Half-open intervals (first, end) of frame numbers, in order; runs are as long as they can be.

    Raises:
        ValueError: Scores are not a vector or hold NaN; min_frames is below 1.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or np.isnan(scores).any():
        raise ValueError(f"scores must be a vector without NaN, got shape {scores.shape}")
    if min_frames < 1:
        raise ValueError(f"min_frames must be at least 1, got {min_frames}")
    chosen = np.concatenate(([0], scores > threshold, [0]))
    step = np.diff(chosen)
    firsts, ends = np.flatnonzero(step == 1), np.flatnonzero(step == -1)
    return [(int(a), int(b)) for a, b in zip(firsts, ends, strict=True) if b - a >= min_frames]
