"""Thresholds of class presence, chosen with tags only."""

from __future__ import annotations

import numpy as np

_LEAST = 5  # minimum number of positives, and of negatives, for a threshold per class


def presence_thresholds(scores: np.ndarray, tags: np.ndarray) -> np.ndarray:
    """The thresholds with the best F1 over held-out tagged images.

    Classes with fewer than 5 positives or negatives use the best common threshold of all classes.

    Args:
        scores: (N, C) in [0, 1]; a class is present if its score reaches the threshold.
        tags: (N, C) in {0, 1}.

    Returns:
        (C,) float64 in [0, 1]; 0.5 everywhere without a single positive.
    """
    scores, tags = np.asarray(scores, np.float64), np.asarray(tags, bool)
    if scores.shape != tags.shape or scores.ndim != 2:
        raise ValueError(f"scores and tags must be (N, C), got {scores.shape} and {tags.shape}")
    common = best_f1_threshold(scores.ravel(), tags.ravel())
    enough = np.minimum(tags.sum(0), (~tags).sum(0)) >= _LEAST
    return np.array(
        [best_f1_threshold(scores[:, c], tags[:, c]) if enough[c] else common for c in range(scores.shape[1])]
    )


def best_f1_threshold(scores: np.ndarray, tags: np.ndarray) -> float:
    """Threshold of one class, (N,) each: midway between the lowest accepted and the highest rejected score.

    For equal F1 the highest threshold. 0.5 without positives.
    """
    if not tags.any():
        return 0.5
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(tags[order])
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + tags.sum())
    f1[:-1][ranked[:-1] == ranked[1:]] = -1  # equal scores are taken together
    last = int(np.argmax(f1))
    below = ranked[last + 1] if last + 1 < len(ranked) else 0.0
    return float((ranked[last] + below) / 2)
