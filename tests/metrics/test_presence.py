"""Thresholds of class presence against a search through every threshold."""

from __future__ import annotations

import numpy as np
import pytest

from wsvs.metrics.presence import best_f1_threshold, presence_thresholds


def f1(scores, tags, threshold):
    taken = scores >= threshold
    return 2 * (taken & tags).sum() / max(1, taken.sum() + tags.sum())


@pytest.mark.parametrize("seed", range(20))
def test_no_other_threshold_is_better(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 8, 15) / 8  # with equal ones among them
    tags = rng.random(15) < 0.2 + 0.6 * scores
    if not tags.any():
        tags[0] = True
    found = best_f1_threshold(scores, tags)
    assert f1(scores, tags, found) == max(f1(scores, tags, threshold) for threshold in np.arange(-1, 18) / 16)


def test_separable_scores_are_cut_in_the_middle():
    scores = np.array([0.9, 0.2, 0.7, 0.1])
    assert best_f1_threshold(scores, np.array([True, False, True, False])) == pytest.approx(0.45)
    assert best_f1_threshold(np.array([0.9, 0.3]), np.array([True, True])) == pytest.approx(0.15)
    assert best_f1_threshold(np.array([0.9, 0.3]), np.array([False, False])) == 0.5


def test_rare_classes_take_the_common_threshold():
    rng = np.random.default_rng(0)
    tags = np.zeros((40, 3), int)
    tags[:20, 0] = tags[:10, 1] = tags[:2, 2] = 1  # the third has two positives
    scores = np.clip(0.5 * tags + rng.uniform(0, 0.45, tags.shape) * [1, 0.5, 1], 0, 1)
    found = presence_thresholds(scores, tags)
    common = best_f1_threshold(scores.ravel(), tags.ravel() > 0)
    assert found[2] == common
    for c in (0, 1):
        assert found[c] == best_f1_threshold(scores[:, c], tags[:, c] > 0)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"must be \(N, C\)"):
        presence_thresholds(np.zeros(3), np.zeros(3))
